from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.tables.cashier_alcohol_days import cashier_alcohol_days
from tests.cashier_days_query import cashier_days_by_query
from tests.given.alcohol_sales import sale
from tests.given.rows import at, rows_of

SUMS = [name for name in CASHIER_ALCOHOL_DAYS.column_names if name not in ("model_version", "run_id")]


NO_ESTIMATE = {
    "estimate_status": "no_photo",
    "under_legal_age_probability": None,
    "under_challenge_age_probability": None,
}
SHOWN = {"id_check": "shown", "audit_status": "id_shown"}
REFUSED = {"id_check": "refused_sale", "audit_status": "sale_refused"}
VOIDED = {"audit_status": "sale_voided"}
NOT_LOGGED = {"id_check": None, "audit_status": "check_not_logged"}


def cashier_days(spark: SparkSession, *sales: dict[str, Any]) -> list[dict[str, Any]]:
    days = cashier_alcohol_days(rows_of(spark, ALCOHOL_SALE_AUDIT, *sales), "Europe/Moscow")
    return [row.asDict(recursive=True) for row in days.select(*SUMS).orderBy("store_id", "cashier_id").collect()]


def test_an_unchecked_sale_counts_with_its_probability_and_never_as_a_fact(spark: SparkSession) -> None:
    (day,) = cashier_days(spark, sale())
    assert day == {
        "store_id": "0042",
        "cashier_id": "c1",
        "sale_count": 1,
        "refused_count": 0,
        "voided_count": 0,
        "estimated_sale_count": 1,
        "check_not_logged_count": 0,
        "under_legal_age_count": 0.25,
        "under_legal_age_variance": 0.1875,
        "under_challenge_age_count": 0.5,
        "under_challenge_age_variance": 0.25,
        "under_legal_age_unchecked_count": 0.25,
        "under_legal_age_unchecked_variance": 0.1875,
        "asked_count": 0.0,
        "asked_variance": 0.0,
        "not_asked_count": 0.5,
        "not_asked_variance": 0.25,
        "strata": [
            {
                "till_id": "03",
                "hour": 21,
                "probability_band": 50,
                "case_count": 1,
                "asked_count": 0,
                "under_challenge_age_count": 0.5,
            }
        ],
    }


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        (SHOWN, {"sale_count": 1, "asked_count": 0.5, "not_asked_count": 0.0}),
        (REFUSED, {"sale_count": 0, "refused_count": 1, "asked_count": 0.5, "under_challenge_age_count": 0.0}),
        (VOIDED, {"sale_count": 0, "voided_count": 1, "not_asked_count": 0.0, "strata": None}),
        (NOT_LOGGED, {"sale_count": 1, "check_not_logged_count": 1, "not_asked_count": 0.0, "strata": None}),
        (NO_ESTIMATE, {"sale_count": 1, "estimated_sale_count": 0, "not_asked_count": 0.0, "strata": None}),
    ],
    ids=["shown", "refused", "voided", "not_logged", "no_estimate"],
)
def test_what_became_of_a_sale_decides_where_it_counts(
    spark: SparkSession, facts: dict[str, Any], counts: dict[str, Any]
) -> None:
    (day,) = cashier_days(spark, sale(**facts))
    assert {name: day[name] for name in counts} == counts


def test_a_stratum_is_a_till_an_hour_of_the_store_and_a_band_of_probability(spark: SparkSession) -> None:
    (day,) = cashier_days(
        spark,
        sale(),
        sale(transaction_id="t2", under_challenge_age_probability=0.6, **SHOWN),
        sale(transaction_id="t3", under_challenge_age_probability=0.04),
        sale(transaction_id="t4", closed_at=at("21:30:00")),
        sale(transaction_id="t5", till_id="04"),
    )
    strata = [tuple(stratum.values()) for stratum in day["strata"]]
    assert strata == [
        ("03", 0, 50, 1, 0, 0.5),
        ("03", 21, 0, 1, 0, 0.04),
        ("03", 21, 50, 2, 1, pytest.approx(1.1)),
        ("04", 21, 50, 1, 0, 0.5),
    ]


def test_cashiers_of_the_same_name_in_two_stores_are_two(spark: SparkSession) -> None:
    days = cashier_days(spark, sale(), sale(store_id="0043"))
    assert [(day["store_id"], day["sale_count"]) for day in days] == [("0042", 1), ("0043", 1)]


def test_thousands_of_random_sales_give_what_plain_sql_gives(spark: SparkSession) -> None:
    random = np.random.default_rng(3)
    kinds = [{}, SHOWN, REFUSED, VOIDED, NOT_LOGGED, NO_ESTIMATE, NO_ESTIMATE | SHOWN, NOT_LOGGED | NO_ESTIMATE]
    sales = [
        sale(
            transaction_id=f"t{number}",
            store_id=str(random.integers(3)),
            till_id=str(random.integers(3)),
            cashier_id=str(random.integers(5)),
            closed_at=at(f"{random.integers(24):02}:00:00"),
            under_legal_age_probability=float(young * random.random()),
            under_challenge_age_probability=float(young),
        )
        | kinds[random.integers(len(kinds))]
        for number, young in enumerate(random.beta(0.4, 1, 3000))
    ]
    expected = cashier_days_by_query(pa.Table.from_pylist(sales, ALCOHOL_SALE_AUDIT.schema), "Europe/Moscow")
    found = cashier_days(spark, *sales)
    assert len(found) == 15
    for day, expected_day in zip(found, expected.to_pylist(), strict=True):
        strata, expected_strata = day.pop("strata"), expected_day.pop("strata")
        assert day == pytest.approx(expected_day)
        for stratum, expected_stratum in zip(strata, expected_strata, strict=True):
            assert stratum == pytest.approx(expected_stratum)
