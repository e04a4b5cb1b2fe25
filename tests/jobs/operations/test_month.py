"""The outcomes that the reviewers of `make month` deliver are those that the truth says, and the tables count them."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from jobs.landing.deliveries import landed_outcomes
from jobs.operations.month import CANNOT_TELL_OF, DAYS, FIRST, LAST, REVIEWED_DAYS, deliver_outcomes
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.tables.reviewed_cases import reviewed_cases
from jobs.warehouse.catalogue import CATALOGUE, write_catalogue
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.catalogued_tables import publish

DAY, NEXT_DAY = date(2026, 11, 19), date(2026, 11, 20)
CASES = 25


@pytest.fixture
def landing(tmp_path: Path) -> ObjectStore:
    """The landing after reviewers of one of two days delivered; every third buyer is 16 years old."""
    store = ObjectStore((tmp_path / "warehouse").as_uri())
    for day in (DAY, NEXT_DAY):
        closed_at = datetime(day.year, day.month, day.day, 18, tzinfo=UTC)
        cases = [
            {"case_id": f"{day}-{number:02d}", "review_rank": number, "closed_at": closed_at} for number in range(CASES)
        ]
        sales = [
            case | {"store_id": "0001", "till_id": "02", "transaction_id": f"{day}-t{number}"}
            for number, case in enumerate(cases)
        ]
        publish(store, ALCOHOL_REVIEW_CASES, day, *cases)
        fields = set(ALCOHOL_SALE_AUDIT.column_names)
        publish(store, ALCOHOL_SALE_AUDIT, day, *[{k: v for k, v in sale.items() if k in fields} for sale in sales])
    write_catalogue(store)
    truth = pd.DataFrame(
        [
            {"kind": "transaction", "store_id": "0001", "till_id": "02", "transaction_id": f"{day}-t{number}"}
            | {"true_age_years": 16 if number % 3 == 0 else 40}
            for day in (DAY, NEXT_DAY)
            for number in range(CASES)
        ]
    )
    truth.to_csv(tmp_path / "truth.csv", index=False)
    landed = ObjectStore((tmp_path / "landing").as_uri())
    deliver_outcomes(landed, tmp_path / "warehouse" / CATALOGUE, tmp_path / "truth.csv", [DAY])
    return landed


def test_reviewers_find_the_minors_and_cannot_tell_now_and_then(landing: ObjectStore) -> None:
    rows = list(csv.DictReader(landing.read(f"reviewed_cases/business_date={DAY}/outcomes.csv").decode().splitlines()))
    outcomes = [row["reviewer_outcome"] for row in rows]
    assert outcomes[CANNOT_TELL_OF - 1] == "cannot_tell"
    del outcomes[CANNOT_TELL_OF - 1]
    numbers = [number for number in range(CASES) if number != CANNOT_TELL_OF - 1]
    assert outcomes == ["under_age" if number % 3 == 0 else "of_age" for number in numbers]


def test_only_the_days_that_were_reviewed_have_outcomes(landing: ObjectStore) -> None:
    assert [entry.key for entry in landing.list("reviewed_cases")] == [
        f"reviewed_cases/business_date={DAY}/outcomes.csv"
    ]


def test_every_delivered_outcome_counts(landing: ObjectStore, tmp_path: Path) -> None:
    published = Warehouse(ObjectStore((tmp_path / "warehouse").as_uri()), "run-2").published
    columns = ["case_id", "closed_at", "review_rank", "under_legal_age_probability", "model_version", "run_id"]
    cases = published.read_days(ALCOHOL_REVIEW_CASES, [DAY], columns)
    judged = reviewed_cases({DAY: landed_outcomes(landing, DAY)}, cases)
    assert judged["outcome_status"].to_pylist() == ["counted"] * CASES


def test_the_month_has_28_days_of_which_the_first_two_weeks_are_reviewed() -> None:
    assert (len(DAYS), DAYS[0], DAYS[-1]) == (28, FIRST, LAST)
    assert DAYS[:14] == REVIEWED_DAYS
