import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.errors import InputError
from jobs.landing import tombstones as module
from jobs.landing.landed_files import LANDED_LINE_SCHEMA, OUTCOME_FIELDS, landed_schema
from jobs.landing.tombstones import (
    ErasedPeople,
    erased_line_count,
    key_hash,
    read_erased,
    refuse_if_begun_before_an_erasure,
    without_erased_landed_lines,
    without_erased_lines,
    without_erased_outcomes,
    without_erased_photos,
    without_erased_rejected_lines,
)
from jobs.privacy.person_to_erase import Person
from jobs.schemas.alcohol import REVIEWED_CASES
from jobs.schemas.landed import CHECKOUT_PHOTOS, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.settings import Settings
from jobs.steps import publish_night
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, line, rows_of
from tests.given.staged_runs import staged_run

ODD_ID = 'Ä "4\\7" 11'
ERASED = Person(BUSINESS_DATE, ("0042", "03", "t1"), frozenset(["photos/a.jpg"])).erased
NOBODY = ErasedPeople(BUSINESS_DATE)


def landed(spark: SparkSession, *lines: dict[str, str]) -> Any:
    """Landed lines, every field text; what a line does not name is null."""
    from pyspark.sql.pandas.types import from_arrow_schema

    values = [tuple(given.get(name) for name in LANDED_LINE_SCHEMA.names) for given in lines]
    return spark.createDataFrame(values, from_arrow_schema(LANDED_LINE_SCHEMA))


def record(**given: str) -> dict[str, str]:
    return {"store_id": "0042", "till_id": "03", "transaction_id": "t1", "source_file": "a", "sku": "s1"} | given


LANDED = {
    "of the key": (record(), True),
    "with blanks around the id": (record(transaction_id=" t1 "), True),
    "of another till": (record(till_id="04"), False),
    "of another id": (record(transaction_id="t11"), False),
    "without a till": (record(till_id=""), True),
    "without an id": (record(transaction_id=""), False),
    "with the id in another field": (record(transaction_id="", sku="t1"), True),
    "a torn line": ({"source_file": "a", "unparsed_line": "t1,0042,03,c1,too,many"}, True),
    "a torn JSON line": ({"source_file": "a", "unparsed_line": '{"transaction_id":"t1","store'}, True),
    "a torn line of another": ({"source_file": "a", "unparsed_line": "t11,0042,03,t1-2"}, False),
}


@pytest.mark.parametrize(("of", "is_erased"), LANDED.values(), ids=LANDED.keys())
def test_a_landed_line_is_left_out_where_it_is_of_the_person(
    spark: SparkSession, of: dict[str, str], is_erased: bool
) -> None:
    lines = landed(spark, of)
    assert without_erased_landed_lines(lines, ERASED).count() == (0 if is_erased else 1)
    assert erased_line_count(lines, ERASED) == (1 if is_erased else 0)


@pytest.mark.parametrize(("of", "is_erased"), LANDED.values(), ids=LANDED.keys())
def test_the_rejected_row_of_a_landed_line_is_judged_alike(
    spark: SparkSession, of: dict[str, str], is_erased: bool
) -> None:
    fields = {name: value for name, value in of.items() if name != "source_file" and value.strip()}
    text = of.get("unparsed_line") or json.dumps({name: value.strip() for name, value in fields.items()})
    rejected = rows_of(spark, REJECTED_TRANSACTION_LINES, {"source_file": "a", "line_in_file": 1, "landed_line": text})
    assert without_erased_rejected_lines(rejected, ERASED).count() == (0 if is_erased else 1)
    assert ERASED.has_landed_line(text) is is_erased


def test_lines_of_the_person_are_left_out_and_those_of_the_same_id_at_another_till_stay(spark: SparkSession) -> None:
    lines = rows_of(spark, TRANSACTION_LINES, line(), line(till_id="04"), line(transaction_id="t2"))
    kept = without_erased_lines(lines, ERASED).collect()
    assert {(row.till_id, row.transaction_id) for row in kept} == {("04", "t1"), ("03", "t2")}


def test_photos_of_the_person_are_left_out_by_key_and_by_the_transaction_that_the_key_names(
    spark: SparkSession,
) -> None:
    photos = [
        {"photo_key": "photos/a.jpg"},
        {"photo_key": "photos/b.jpg", "store_id": "0042", "till_id": "03", "transaction_id": "t1"},
        {"photo_key": "photos/c.jpg", "store_id": "0042", "till_id": "03", "transaction_id": "t2"},
        {"photo_key": "photos/d.jpg", "store_id": "0042", "till_id": "03"},
        {"photo_key": "photos/unreadable"},
    ]
    kept = without_erased_photos(rows_of(spark, CHECKOUT_PHOTOS, *photos), ERASED).collect()
    assert [row.photo_key for row in kept] == ["photos/c.jpg", "photos/d.jpg", "photos/unreadable"]


def test_a_day_without_tombstones_is_not_touched(spark: SparkSession) -> None:
    lines = landed(spark, record())
    filters: list[Callable[[Any, ErasedPeople], Any]] = [
        without_erased_landed_lines,
        without_erased_lines,
        without_erased_photos,
        without_erased_rejected_lines,
    ]
    assert all(leave_out(lines, NOBODY) is lines for leave_out in filters)
    assert erased_line_count(lines, NOBODY) == 0


def test_an_id_of_odd_characters_hashes_alike_in_spark(spark: SparkSession) -> None:
    erased = Person(BUSINESS_DATE, ("0042", "03", ODD_ID), frozenset()).erased
    lines = rows_of(spark, TRANSACTION_LINES, line(transaction_id=ODD_ID), line())
    assert [row.transaction_id for row in without_erased_lines(lines, erased).collect()] == ["t1"]


@given(st.lists(st.text(min_size=1), min_size=3, max_size=3), st.lists(st.text(min_size=1), min_size=3, max_size=3))
def test_two_keys_hash_alike_only_when_they_are_the_same(one: list[str], other: list[str]) -> None:
    hashes = {key_hash(BUSINESS_DATE, "transaction", *key) for key in (one, other)}
    assert len(hashes) == (1 if one == other else 2)


def test_outcomes_of_the_person_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Person(BUSINESS_DATE, ("0042", "03", "t1"), frozenset()).case_id
    schema = landed_schema(OUTCOME_FIELDS)
    outcomes = [
        {"case_id": f" {case}"},
        {"case_id": "other"},
        {"unparsed_line": f"{case},2026-11-23,of_age,,,"},
        {"unparsed_line": "other,,,,,"},
    ]
    kept = without_erased_outcomes(pa.Table.from_pylist(outcomes, schema), ERASED)
    assert [row["case_id"] or row["unparsed_line"] for row in kept.to_pylist()] == ["other", "other,,,,,"]


def write_tombstone(settings: Settings, run_id: str = "erase-1") -> None:
    hashes = {name: sorted(getattr(ERASED, name)) for name in module.HASHES}
    ObjectStore(settings.warehouse_uri).write(
        f"_erased/business_date={BUSINESS_DATE}/{run_id}/tombstone.json", json.dumps(hashes).encode()
    )


def test_the_tombstones_of_a_day_are_read_together(settings: Settings) -> None:
    store = ObjectStore(settings.warehouse_uri)
    assert read_erased(store, BUSINESS_DATE) == NOBODY
    write_tombstone(settings)
    write_tombstone(settings, "erase-2")
    erased = read_erased(store, BUSINESS_DATE)
    assert (erased.erasure_count, erased.transactions) == (2, ERASED.transactions)
    assert module.days_with_tombstones(store) == [BUSINESS_DATE]


def test_a_night_that_read_its_input_before_an_erasure_is_not_published(settings: Settings) -> None:
    warehouse = staged_run(settings, "run-1", 2)
    write_tombstone(settings)
    with pytest.raises(InputError, match="run 'run-1' of 2026-11-20 read its input before someone was erased from"):
        publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert not warehouse.published.has_day(TRANSACTION_LINES, BUSINESS_DATE)


def test_a_window_that_read_outcomes_before_an_erasure_is_not_published(settings: Settings) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "window-1")
    nothing = REVIEWED_CASES.schema.empty_table().drop_columns(["run_id"])
    warehouse.stage_arrow(REVIEWED_CASES, BUSINESS_DATE, nothing)
    module.refuse_window_begun_before_an_erasure(warehouse, BUSINESS_DATE, [BUSINESS_DATE])
    write_tombstone(settings)
    with pytest.raises(InputError, match="run 'window-1' of 2026-11-20 read its input before"):
        module.refuse_window_begun_before_an_erasure(warehouse, BUSINESS_DATE, [BUSINESS_DATE])


def test_a_run_that_respected_every_tombstone_may_publish(settings: Settings, spark: SparkSession) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "run-1", spark)
    write_tombstone(settings)
    for table in module.FILTERED_TABLES:
        warehouse.stage(table, BUSINESS_DATE, rows_of(spark, table), Origin(erasure_count=1))
    staged = {table.name: warehouse.staging.staged(table, BUSINESS_DATE) for table in module.FILTERED_TABLES}
    refuse_if_begun_before_an_erasure(warehouse, BUSINESS_DATE, staged)
