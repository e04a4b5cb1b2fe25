from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.tables.cashier_alcohol_days import cashier_alcohol_days
from tests.given.alcohol_sales import sale
from tests.given.duckdb_rows import rows_in_duckdb
from tests.given.rows import arrow_rows, at

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


def cashier_days(*sales: dict[str, Any]) -> list[dict[str, Any]]:
    with rows_in_duckdb({ALCOHOL_SALE_AUDIT: arrow_rows(ALCOHOL_SALE_AUDIT, *sales)}) as connection:
        days = cashier_alcohol_days(connection, "Europe/Moscow")
    by_key = [("store_id", "ascending"), ("cashier_id", "ascending")]
    return days.select(SUMS).sort_by(by_key).to_pylist()


def test_an_unchecked_sale_counts_with_its_probability_and_never_as_a_fact() -> None:
    (day,) = cashier_days(sale())
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
def test_what_became_of_a_sale_decides_where_it_counts(facts: dict[str, Any], counts: dict[str, Any]) -> None:
    (day,) = cashier_days(sale(**facts))
    assert {name: day[name] for name in counts} == counts


def test_a_stratum_is_a_till_an_hour_of_the_store_and_a_band_of_probability() -> None:
    (day,) = cashier_days(
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


def test_cashiers_of_the_same_name_in_two_stores_are_two() -> None:
    days = cashier_days(sale(), sale(store_id="0043"))
    assert [(day["store_id"], day["sale_count"]) for day in days] == [("0042", 1), ("0043", 1)]


def test_thousands_of_random_sales_give_what_counting_them_one_by_one_gives() -> None:
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
    found = cashier_days(*sales)
    assert len(found) == 15
    for day in found:
        own = [each for each in sales if (each["store_id"], each["cashier_id"]) == (day["store_id"], day["cashier_id"])]
        strata = [tuple(stratum.values()) for stratum in day.pop("strata")]
        assert day == pytest.approx(day | counted_one_by_one(own))
        assert [stratum[:5] for stratum in strata] == [stratum[:5] for stratum in strata_one_by_one(own)]
        assert [stratum[5] for stratum in strata] == pytest.approx([stratum[5] for stratum in strata_one_by_one(own)])


def is_asked(each: dict[str, Any]) -> bool:
    return each["audit_status"] == "sale_refused" or (
        each["audit_status"] != "sale_voided" and each["id_check"] == "shown"
    )


def is_not_asked(each: dict[str, Any]) -> bool:
    return each["audit_status"] not in ("sale_refused", "sale_voided") and each["id_check"] == "not_asked"


def counted_one_by_one(sales: list[dict[str, Any]]) -> dict[str, float]:
    """The counts of a cashier's sales, as the meanings of the columns say."""
    paid = [each for each in sales if each["audit_status"] not in ("sale_refused", "sale_voided")]
    counts: dict[str, float] = {
        "sale_count": len(paid),
        "refused_count": sum(each["audit_status"] == "sale_refused" for each in sales),
        "voided_count": sum(each["audit_status"] == "sale_voided" for each in sales),
        "estimated_sale_count": sum(each["estimate_status"] == "estimated" for each in paid),
        "check_not_logged_count": sum(each["id_check"] is None for each in paid),
    }
    estimated = [each for each in paid if each["estimate_status"] == "estimated"]
    for name, age, counted in (
        ("under_legal_age", "under_legal_age", estimated),
        ("under_challenge_age", "under_challenge_age", estimated),
        ("under_legal_age_unchecked", "under_legal_age", filter(is_not_asked, sales)),
        ("asked", "under_challenge_age", filter(is_asked, sales)),
        ("not_asked", "under_challenge_age", filter(is_not_asked, sales)),
    ):
        known = [each[f"{age}_probability"] for each in counted if each[f"{age}_probability"] is not None]
        counts |= {f"{name}_count": sum(known), f"{name}_variance": sum(p * (1 - p) for p in known)}
    return counts


def strata_one_by_one(sales: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The strata of a cashier's sales in order, each with its sums last."""
    strata: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for each in sales:
        young = each["under_challenge_age_probability"]
        if young is not None and (is_asked(each) or is_not_asked(each)):
            hour = each["closed_at"].astimezone(ZoneInfo("Europe/Moscow")).hour
            band = max(low for low in (0, 5, 15, 30, 50, 70, 85) if 100 * young >= low)
            strata.setdefault((each["till_id"], hour, band), []).append(each)
    return [
        (*stratum, len(own), sum(map(is_asked, own)), sum(each["under_challenge_age_probability"] for each in own))
        for stratum, own in sorted(strata.items())
    ]
