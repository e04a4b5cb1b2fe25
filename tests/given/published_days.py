"""published_days: a published day with 28 days before it, from literal rows: the report's input without Spark.

The day has a category with a hostile name, and ids of a cashier, a receipt and a photo that no page may show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE, REJECTED_TRANSACTION_LINES
from jobs.schemas.runs import CHECK_RESULTS
from jobs.schemas.table import Table
from jobs.steps.rules.night_rules import RULES
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE

RUN_ID = "night-1"
MODEL = "age_resnet50-3"
HOSTILE = "<img src=x onerror=alert(1)>$\\frac{1}$ & \"quoted\" <script>alert('x')</script>"
CASHIER, RECEIPT, PHOTO = "cashier-4711", "receipt-0815", "photos/secret.jpg"
AGE_GROUPS = ("0-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65+")
BUYERS = (6, 60, 130, 110, 80, 60, 54)
"""Estimated receipts by age group."""
POINTS = (14, 48, 118, 121, 92, 66, 41)
CATEGORIES: Mapping[str, tuple[float, ...]] = {
    "BEERS/ALES": (0.1, 2.1, 1.3, 0.9, 0.8, 0.7, 0.4),
    "FLUID MILK": (1.0, 0.9, 1.0, 1.0, 1.0, 1.1, 1.1),
    "FRUIT": (0.8, 0.8, 1.0, 1.1, 1.0, 1.0, 1.0),
    "SOUP": (0.6, 0.5, 0.8, 1.0, 1.1, 1.4, 1.5),
    HOSTILE: (1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7),
    "CANDY": (1.9, 1.2, 1.0, 0.9, 0.9, 0.9, 0.8),
    "WINE": (0.1, 0.7, 0.9, 1.1, 1.2, 1.3, 1.2),
    "BATTERIES": (1.0,) * 7,
}
"""Category ► how much more often than all buyers each age group buys it."""
SHARES = dict(zip(CATEGORIES, (0.17, 0.5, 0.45, 0.2, 0.25, 0.3, 0.065, 0.02), strict=True))
"""Shares of receipts with a category. Receipts with beer and with wine add up to the alcohol sales of STATUSES."""
STORES = ("0001", "0042")
WITHOUT_ESTIMATE = 60
LACKING = (3, 9, 10)
"""Days without a publication, counted back from the last day."""
STATUSES = (
    # audit_status, id_check, estimate_status, P(under 18), P(under 25), sales
    ("clearly_adult", "not_asked", "estimated", 0.01, 0.08, 70),
    ("id_shown", "shown", "estimated", 0.20, 0.80, 18),
    ("id_shown", "shown", "no_photo", None, None, 3),
    ("sale_refused", "refused_sale", "estimated", 0.60, 0.95, 4),
    ("no_estimate", "not_asked", "no_photo", None, None, 11),
    ("no_estimate", "not_asked", "no_usable_photo", None, None, 4),
    ("challenge_age_unchecked", "not_asked", "estimated", 0.20, 0.70, 7),
    ("possibly_under_age_unchecked", "not_asked", "estimated", 0.60, 0.95, 2),
    ("check_not_logged", None, "estimated", 0.20, 0.70, 3),
    ("sale_voided", "not_asked", "estimated", 0.01, 0.08, 1),
)
HOURS = range(8, 22)
BROKEN_RULE = "receipt lines keep the contract"


def publish_days(warehouse_uri: str, business_date: date = BUSINESS_DATE, hostile_name: str = HOSTILE) -> Warehouse:
    """Write the day's tables, its window of cashiers and the runs of the days before."""
    warehouse = Warehouse(ObjectStore(warehouse_uri), RUN_ID)
    for table, rows in day_rows().items():
        renamed = ({name: hostile_name if value == HOSTILE else value for name, value in row.items()} for row in rows)
        publish(warehouse, table, business_date, renamed)
    publish(warehouse, CASHIER_ALCOHOL_AUDIT, business_date, cashier_rows(business_date))
    for number in range(29):
        if number not in LACKING:
            publish_run(warehouse, business_date - timedelta(days=number), number)
    return warehouse


def publish(warehouse: Warehouse, table: Table, business_date: date, rows: Iterable[Mapping[str, Any]]) -> None:
    """Publish rows of a table. Columns that a row does not name are null."""
    named = [{"run_id": warehouse.run_id, **row} for row in rows]
    warehouse.published.write(table, business_date, pa.Table.from_pylist(named, table.schema))


def publish_run(warehouse: Warehouse, business_date: date, number: int = 0, **given: Any) -> None:
    """Write the row in pipeline_runs for the day `number` days before the last."""
    receipts = sum(BUYERS) + WITHOUT_ESTIMATE + (number * 37) % 60
    estimated = receipts - WITHOUT_ESTIMATE
    run = {
        "run_id": warehouse.run_id,
        "published_at": datetime.combine(business_date + timedelta(days=1), time(1, 30), UTC),
        "model_version": MODEL,
        "inference_engine": "openvino",
        "landed_photo_count": 640,
        "estimated_photo_count": 590,
        "taken_over_photo_count": 0,
        "inferred_photo_count": 612,
        "inferred_photos_per_second": 88.5,
        "accepted_line_count": 3120,
        "rejected_line_count": 3,
        "erased_line_count": 0,
        "transaction_count": receipts,
        "estimated_transaction_count": estimated,
        "photographed_transaction_count": estimated + 20,
        "mean_estimated_age_years": 38.5 + (number * 13 % 10) / 10,
        "mean_under_18_probability": 0.031 + (number * 7 % 10) / 1000,
        "net_amount": Decimal("14000.00"),
        "warnings": [f"{BROKEN_RULE}: 3 lines rejected"] if number in (0, 5, 17) else [],
        "table_seconds": [("photo_age_estimates", 6.9), ("age_mixes", 4.1), ("age_group_purchases", 5.7)],
        "table_tries": [("photo_age_estimates", 2), ("age_mixes", 1), ("age_group_purchases", 1)],
    }
    warehouse.runs.write(business_date, run | given)


def day_rows() -> dict[Table, list[dict[str, Any]]]:
    """Return the day's rows of all tables that the report reads."""
    estimated = [{"age_group": name, "estimate_status": "estimated"} for name, n in zip(AGE_GROUPS, POINTS, strict=True)
                 for _ in range(n)]  # fmt: skip
    unknown = [
        {"age_group": "unknown", "estimate_status": "no_photo", "transaction_id": RECEIPT, "photo_keys": [PHOTO]}
    ]
    return {
        PHOTO_AGE_ESTIMATES: [{"photo_key": f"{PHOTO}{n}", "estimate_status": "estimated"} for n in range(5)],
        REJECTED_TRANSACTION_LINES: [
            {"rejection_kind": "cashier_id is wrong", "source_file": "a", "line_in_file": 1},
            {"rejection_kind": "is the same as an earlier line", "source_file": "a", "line_in_file": 2},
            {"rejection_kind": "is the same as an earlier line", "source_file": "a", "line_in_file": 3},
        ],
        TRANSACTION_AGES: estimated + unknown * WITHOUT_ESTIMATE,
        AGE_MIXES: _mixes(),
        AGE_GROUP_PURCHASES: list(_purchases()),
        AGE_GROUP_AFFINITY: list(_affinities()),
        ALCOHOL_SALE_AUDIT: list(_alcohol_sales()),
        ALCOHOL_REVIEW_CASES: [{"case_id": f"case{n}", "photo_keys": [PHOTO]} for n in range(12)],
        PHOTO_COVERAGE: list(_coverage()),
        CHECK_RESULTS: [
            {"rule": rule.name, "severity": rule.severity, "is_broken": rule.name == BROKEN_RULE,
             "findings": [], "measured_value": 0.9, "limit_value": 0.5}
            for rule in RULES
        ],
    }  # fmt: skip


def cashier_rows(business_date: date = BUSINESS_DATE) -> list[dict[str, Any]]:
    """Return 24 judged cashiers, one of whom asks too seldom, and one who cannot be judged."""
    random = np.random.default_rng(1)
    rows = []
    for number in range(25):
        error = 0.04 + 0.2 / (1 + number % 12)
        difference = -0.45 if number == 11 else float(random.normal(0, error * 0.7))
        rows.append(
            {
                "store_id": STORES[number % 2],
                "cashier_id": f"{CASHIER}-{number}",
                "window_first_date": business_date - timedelta(days=27),
                "day_count": 26,
                "compared_count": 12.0 + 9 * (number % 12),
                "asked_count": 30.0,
                "not_asked_count": 10.0,
                "asked_share_difference": None if number == 24 else difference,
                "asked_share_difference_low": None if number == 24 else difference - 1.645 * error,
                "asked_share_difference_high": None if number == 24 else difference + 1.645 * error,
                "review_priority": 1 if number == 11 else None,
            }
        )
    return rows


def _mixes() -> list[dict[str, Any]]:
    rows = [{"circle": "all", "product_category": "", **_ages(BUYERS)}]
    of_alcohol = [sum(counts) for counts in zip(_receipts_of("BEERS/ALES"), _receipts_of("WINE"), strict=True)]
    rows.append({"circle": "alcohol", "product_category": "", **_ages(of_alcohol)})
    for category in CATEGORIES:
        rows.append({"circle": "product_category", "product_category": category, **_ages(_receipts_of(category))})
    return rows


def _receipts_of(category: str) -> list[float]:
    """Return the estimated receipts with the category, by age group."""
    return [SHARES[category] * each * buyers for each, buyers in zip(CATEGORIES[category], BUYERS, strict=True)]


def _ages(counts: Iterable[float]) -> dict[str, Any]:
    """Return shares by year of age, each group's share at a single age, and ten resamplings."""
    by_year = np.zeros(101)
    by_year[[15, 20, 30, 40, 50, 60, 70]] = list(counts)
    shares = by_year / by_year.sum()
    resampled = np.random.default_rng(3).dirichlet(60 * shares[shares > 0] + 0.5, 10)
    others = np.zeros((10, 101))
    others[:, shares > 0] = resampled
    return {
        "transaction_count": round(by_year.sum()),
        "estimated_age_shares": shares.tolist(),
        "resampled_age_shares": others.tolist(),
    }


def _purchases() -> Iterable[dict[str, Any]]:
    for store in STORES:
        for category in CATEGORIES:
            for name, receipts, points in zip(AGE_GROUPS, _receipts_of(category), POINTS, strict=True):
                estimate = receipts / len(STORES)
                point = round(SHARES[category] * points / len(STORES))
                yield _purchase(store, name, category, point, estimate, max(1.0, 0.3 * estimate))
            yield _purchase(store, "unknown", category, 4, 4.0, 0.0)


def _purchase(store: str, name: str, category: str, point: int, estimate: float, margin: float) -> dict[str, Any]:
    return {
        "store_id": store,
        "age_group": name,
        "product_category": category,
        "currency": "RUB",
        "transaction_count": point,
        "line_count": point,
        "quantity": Decimal(point),
        "net_amount": Decimal(point) * Decimal("129.90"),
        "estimated_transaction_count": estimate,
        "estimated_transaction_count_low": max(0.0, estimate - margin),
        "estimated_transaction_count_high": estimate + margin,
        "estimated_net_amount": estimate * 129.9,
    }


def _affinities() -> Iterable[dict[str, Any]]:
    for category, index in CATEGORIES.items():
        receipts = round(SHARES[category] * sum(BUYERS))
        for name, each, buyers in zip(AGE_GROUPS, index, BUYERS, strict=True):
            few = receipts < 30 or buyers < 30
            factor = 1.3
            yield {
                "age_group": name,
                "product_category": category,
                "transaction_count": receipts,
                "affinity_index": None if few else each,
                "affinity_index_low": None if few else each / factor,
                "affinity_index_high": None if few else each * factor,
                "affinity_reason": "fewer than 30 transactions" if few else None,
            }


def _alcohol_sales() -> Iterable[dict[str, Any]]:
    for status, check, estimate_status, under_18, under_25, sales in STATUSES:
        for _ in range(sales):
            yield {
                "cashier_id": CASHIER,
                "transaction_id": RECEIPT,
                "audit_status": status,
                "id_check": check,
                "estimate_status": estimate_status,
                "under_legal_age_probability": under_18,
                "under_challenge_age_probability": under_25,
                "legal_purchase_age_years": 18,
                "challenge_age_years": 25,
            }


def _coverage() -> Iterable[dict[str, Any]]:
    """Yield as many receipts as the run has, with a till that has no photos for three hours."""
    for store in STORES:
        for till in ("01", "02", "03"):
            for hour in HOURS:
                receipts = 4 + (hour * 7 + int(till)) % 5 + (hour in (17, 18)) * 2 + (hour == 12)
                is_blind = (store, till) == ("0042", "02") and hour in (17, 18, 19)
                missing = receipts if is_blind else (hour + int(till)) % 3 // 2
                if (store, till, hour) == ("0001", "01", 12):
                    receipts, missing = receipts + TOPPED_UP[0], missing + TOPPED_UP[1]
                yield _coverage_row(store, till, hour, receipts, missing)


TOPPED_UP = (20, 13)
"""Additional receipts, and receipts without an estimate, in one hour: they make the sums equal to those of the run."""


def _coverage_row(store: str, till: str, hour: int, receipts: int, missing: int) -> dict[str, Any]:
    return {
        "store_id": store,
        "till_id": till,
        "hour": hour,
        "transaction_count": receipts,
        "with_photo_count": receipts - missing * 2 // 3,
        "with_usable_face_count": receipts - missing,
        "photo_count": receipts,
        "usable_photo_count": receipts - missing,
        "matched_photo_count": receipts,
        "unmatched_photo_count": 0,
        "reasons": [("no_photo", missing * 2 // 3), ("no_usable_photo", missing - missing * 2 // 3)],
        "unusable_photo_reasons": [("no_face", missing)],
    }
