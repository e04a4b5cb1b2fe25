"""What `make month` says of what was planted, from small tables of two days whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from jobs.operations.month_results import CAMERA_RULE, ShareRow, finds, share_rows, shares_in_words
from jobs.operations.sample_day.sample_chain import (
    DarkTill,
    DearerPrices,
    Favourite,
    LaxCashier,
    OlderStore,
    SampleChain,
)
from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.runs import CHECK_RESULTS
from jobs.warehouse.catalogue import CATALOGUE, write_catalogue
from jobs.warehouse.object_store import ObjectStore
from tests.given.catalogued_tables import publish

FIRST, LAST = date(2026, 11, 19), date(2026, 11, 20)
CHAIN = SampleChain(
    lax_cashier=LaxCashier(cashier_id="c0001-2", asks_times=0.5),
    older_store=OlderStore(store_id="0002", more_with_each_year=0.03),
    dark_till=DarkTill(store_id="0003", till_id="01", first_date=LAST),
    favourite=Favourite(product_category="TEA", first_age_years=18, last_age_years=24, times=3.0),
    dearer_prices=DearerPrices(first_date=LAST, times=1.1),
)


def buyer(number: int, store_id: str, age_group: str, estimated_age_years: float) -> dict[str, object]:
    key = {"store_id": store_id, "till_id": "01", "transaction_id": f"t{number}"}
    return key | {
        "age_group": age_group,
        "estimated_age_years": estimated_age_years,
        "estimate_status": "estimated",
    }


def mix(*shares_by_year: dict[int, float]) -> dict[str, object]:
    """A mix of all buyers whose fits are these; the first is the estimate."""
    fits = np.zeros((len(shares_by_year), 101))
    for fit, shares in zip(fits, shares_by_year, strict=True):
        fit[list(shares)] = list(shares.values())
    return {
        "circle": "all",
        "product_category": "",
        "transaction_count": 4,
        "estimated_age_distribution": fits[0].tolist(),
        "estimated_age_shares": fits[0].tolist(),
        "resampled_age_distributions": fits.tolist(),
        "resampled_age_shares": fits.tolist(),
    }


def result(rule: str, is_broken: bool, *findings: str) -> dict[str, object]:
    return {"rule": rule, "severity": "warn", "is_broken": is_broken, "findings": list(findings)}


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The catalogue and the truth of two days of four buyers each: two of 20 years, one of 50, one of 70."""
    folder = tmp_path_factory.mktemp("month")
    store = ObjectStore((folder / "warehouse").as_uri())
    fits = mix({20: 0.5, 50: 0.25, 70: 0.25}, {20: 0.6, 50: 0.2, 70: 0.2}, {20: 0.4, 50: 0.1, 70: 0.5})
    wrong = mix({20: 0.3, 50: 0.4, 70: 0.3})
    for day, own_mix, first in ((FIRST, fits, 0), (LAST, wrong, 4)):
        buyers = [
            buyer(first, "0001", "18-24", 22.0),
            buyer(first + 1, "0001", "25-34", 26.0),
            buyer(first + 2, "0001", "45-54", 48.0),
            buyer(first + 3, "0002", "65+", 66.0),
        ]
        publish(store, TRANSACTION_AGES, day, *buyers)
        publish(store, AGE_MIXES, day, own_mix)
        indices = [
            {"age_group": "18-24", "product_category": name, "affinity_index": index}
            | {"affinity_index_low": index - 0.5, "affinity_index_high": index + 0.5}
            for name, index in (("TEA", 2.6), ("BREAD", 1.7))
        ]
        publish(store, AGE_GROUP_AFFINITY, day, *indices)
    sales = [
        {"store_id": store_id, "till_id": "01", "transaction_id": "t9", "audit_status": status}
        for store_id, status in (("0003", "no_estimate"), ("0001", "challenge_age_unchecked"))
    ]
    publish(store, ALCOHOL_SALE_AUDIT, LAST, *sales)
    publish(store, CHECK_RESULTS, FIRST, result(CAMERA_RULE, False))
    publish(store, CHECK_RESULTS, LAST, result(CAMERA_RULE, True, "till 0003/01: of 40 photos 38 face_too_dark"))
    audit = {"store_id": "0001", "compared_asked_share": 0.41, "expected_asked_share": 0.82, "compared_count": 40.0}
    cashiers = [audit | {"cashier_id": f"c0001-{n}", "review_priority": 1 if n == 2 else None} for n in (1, 2)]
    publish(store, CASHIER_ALCOHOL_AUDIT, LAST, *cashiers)
    write_catalogue(store)
    truth = pd.DataFrame(
        [
            {"kind": "transaction", "store_id": store_id, "till_id": "01", "transaction_id": f"t{number}"}
            | {"true_age_years": age}
            for number, (store_id, age) in enumerate([("0001", 20), ("0001", 20), ("0001", 50), ("0002", 70)] * 2)
        ]
    )
    truth.to_csv(folder / "truth.csv", index=False)
    return folder / "warehouse" / CATALOGUE, folder / "truth.csv"


@pytest.fixture
def connection(month: tuple[Path, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(month[0], read_only=True) as opened:
        yield opened


def test_shares_are_those_of_the_month_and_intervals_those_of_each_day(
    connection: duckdb.DuckDBPyConnection, month: tuple[Path, Path]
) -> None:
    rows = {row.age_group: row for row in share_rows(connection, month[1])}
    young = rows["18-24"]
    assert (young.true, young.plain, young.corrected) == pytest.approx((0.5, 0.25, 0.4))
    assert (young.held_days, young.days) == (1, 2)
    assert rows["65+"].in_words() == ("65+", "25.0%", "25.0%", "27.5%", "point estimates", "1 of 2")
    assert [row.is_nearer for row in rows.values()].count(True) == 2


def test_shares_are_summed_up_in_one_sentence() -> None:
    rows = [
        ShareRow("18-24", true=0.5, plain=0.3, corrected=0.4, held_days=2, days=4),
        ShareRow("25-34", true=0.5, plain=0.6, corrected=0.65, held_days=3, days=4),
    ]
    assert shares_in_words(rows) == (
        "The corrected shares are nearer to the truth in 1 of 2 age groups, and in sum 17% nearer. "
        "Of 8 intervals, one for each age group and day, 5 (62%) hold the truth."
    )


def test_each_thing_that_was_planted_has_what_the_tables_say_of_it(
    connection: duckdb.DuckDBPyConnection, month: tuple[Path, Path]
) -> None:
    found = dict(finds(connection, month[1], CHAIN, LAST))
    assert list(found) == [plant.words for plant in CHAIN.plants()]
    assert list(found.values()) == [
        "c0001-2: review priority 1; asked 41% where others asked 82%, 40 expected buyers under 25; "
        "nobody else has a priority",
        "mean estimated age 66.0 years in store 0002, 32.0 in the others (true: 70.0 and 30.0)",
        "nights that warn of the camera of till 0003/01 by name: 1 from that date on, 0 before it; "
        "unchecked sales that the audit finds at it since: 0",
        "place 1 in the list of 18-24 on 2026-11-20: 2.6 times as often as all buyers (90 % interval 2.1 to 3.1); "
        "it leads that list on 2 of 2 days, on average 2.6",
        "no rule is about prices; rules that warned since: 'each till's camera shows faces well' (1 nights)",
    ]


def test_of_a_chain_that_plants_nothing_nothing_is_said(
    connection: duckdb.DuckDBPyConnection, month: tuple[Path, Path]
) -> None:
    assert list(finds(connection, month[1], SampleChain(), LAST)) == []
