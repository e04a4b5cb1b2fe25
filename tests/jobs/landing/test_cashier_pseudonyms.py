from __future__ import annotations

import os
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import InputError
from jobs.landing.cashier_pseudonyms import (
    PSEUDONYM,
    CashierPseudonyms,
    cashier_pseudonyms,
    key_generation,
    pseudonyms_of,
)
from jobs.landing.deliveries import line_reader
from jobs.landing.landed_files import read_landed_lines
from jobs.settings import KEY_VARIABLE
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE

KEY, OTHER_KEY = "first-key-" * 4, "second-key" * 4
PSEUDONYMS = CashierPseudonyms(KEY.encode())


def masked_lines(landing: ObjectStore, key: str, content: str) -> list[dict[str, Any]]:
    landing.write(key, content.encode())
    return [line for batch in read_landed_lines(landing, key) for line in PSEUDONYMS.applied_to(batch).to_pylist()]


def test_a_pseudonym_is_the_same_for_ever() -> None:
    assert PSEUDONYMS.of("c1") == "pl5axidc5-rruunsviwyf6hibkqvrxholw4a"


def test_a_pseudonym_names_its_key_and_another_key_gives_another() -> None:
    other = CashierPseudonyms(OTHER_KEY.encode())
    assert PSEUDONYMS.of("c1").startswith(f"{PSEUDONYMS.generation}-")
    assert PSEUDONYMS.generation != other.generation
    assert PSEUDONYMS.of("c1")[10:] != other.of("c1")[10:]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_different_ids_have_different_pseudonyms_of_one_form(cashier_ids: list[str]) -> None:
    pseudonyms = [PSEUDONYMS.of(cashier_id) for cashier_id in cashier_ids]
    assert len(set(pseudonyms)) == len(cashier_ids)
    assert all(re.fullmatch(PSEUDONYM, pseudonym) for pseudonym in pseudonyms)


def test_landed_ids_become_pseudonyms_whatever_blanks_are_around_and_missing_ones_stay_missing(
    landing: ObjectStore,
) -> None:
    lines = masked_lines(landing, "a.csv", "cashier_id,sku\nc1,s1\n c1 ,s2\n,s3\nc2,c1\n")
    assert [(line["cashier_id"], line["sku"]) for line in lines] == [
        (PSEUDONYMS.of("c1"), "s1"),
        (PSEUDONYMS.of("c1"), "s2"),
        (None, "s3"),
        (PSEUDONYMS.of("c2"), "c1"),
    ]


def test_text_that_could_not_be_taken_apart_is_not_kept_but_its_length_and_hash_are(landing: ObjectStore) -> None:
    (_, broken) = masked_lines(landing, "a.csv", "cashier_id,sku\nc1,s1\nc1;s1\n")
    assert broken["parse_problem"] == "has 1 fields, but the header has 2"
    assert re.fullmatch(
        r"5 characters, not kept because they may name a cashier; hash [a-z2-7]{26}", broken["unparsed_line"]
    )


def test_a_file_that_cannot_be_read_has_no_text_to_hide(landing: ObjectStore) -> None:
    (line,) = masked_lines(landing, "a.parquet", "c1")
    assert (line["unparsed_line"], line["cashier_id"]) == ("", None)


def test_without_a_key_lines_hold_ids_and_with_one_pseudonyms(
    landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.write(f"transactions/business_date={BUSINESS_DATE}/a.csv", b"cashier_id,sku\nc1,s1\n")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert landed_cashiers(landing) == ["c1"]
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert landed_cashiers(landing) == [PSEUDONYMS.of("c1")]


def test_a_machine_without_the_key_of_the_run_reads_nothing(
    landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.write(f"transactions/business_date={BUSINESS_DATE}/a.csv", b"cashier_id,sku\nc1,s1\n")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    read = line_reader(landing, key_generation({KEY_VARIABLE: KEY}))
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(InputError, match=f"has no key in {KEY_VARIABLE}, but the run began with the key 'pl5axidc5'"):
        list(read(f"transactions/business_date={BUSINESS_DATE}/a.csv"))


@pytest.mark.parametrize(("begun", "here"), [(KEY, OTHER_KEY), (None, KEY), (KEY, None)])
def test_a_key_other_than_that_of_the_run_is_refused_and_not_shown(begun: str | None, here: str | None) -> None:
    generation = key_generation({KEY_VARIABLE: begun} if begun else {})
    with pytest.raises(InputError, match="set the same key on all machines that run Spark tasks") as refused:
        pseudonyms_of(generation, {KEY_VARIABLE: here} if here else {})
    assert KEY not in str(refused.value)
    assert OTHER_KEY not in str(refused.value)


@pytest.mark.parametrize("key", ["", "short", " " * 40, "x" * 31])
def test_a_key_that_is_too_short_is_refused_in_one_sentence_that_does_not_show_it(key: str) -> None:
    with pytest.raises(InputError, match=f"{KEY_VARIABLE} has .* characters, too few to keep ids") as refused:
        cashier_pseudonyms({KEY_VARIABLE: key})
    assert not key or key not in str(refused.value)


def test_a_key_from_a_file_may_end_in_a_newline() -> None:
    assert cashier_pseudonyms({KEY_VARIABLE: f"{KEY}\n"}) == PSEUDONYMS


def test_a_key_is_not_shown() -> None:
    assert KEY not in repr(PSEUDONYMS)


def landed_cashiers(landing: ObjectStore) -> list[str]:
    read = line_reader(landing, key_generation(os.environ))
    batches = read(f"transactions/business_date={BUSINESS_DATE}/a.csv")
    return [cashier for batch in batches for cashier in batch["cashier_id"].to_pylist()]
