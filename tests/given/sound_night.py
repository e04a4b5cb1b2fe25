"""A night whose staged tables break no rule, and what each rule says of it with other rows in some tables."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from jobs.landing.business_day import business_day
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.landed import (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    PHOTO_COVERAGE,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_LINES,
)
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.steps.check_night import check_results, file_rows
from jobs.steps.rules.night_inputs import NEIGHBOUR_COLUMNS, schema_columns
from jobs.steps.rules.night_rules import checked_columns
from jobs.steps.rules.rule import RuleResult
from tests.given.rows import BUSINESS_DATE, line

BUYER = {"store_id": "0042", "till_id": "03", "transaction_id": "t1"}
UNCHECKED_SALE = BUYER | {"audit_status": "check_not_logged", "audit_reason": "no ID check logged", "case_id": "c1"}
PURCHASES = {
    **{"store_id": "0042", "age_group": "25-34", "product_category": "MILK", "currency": "USD"},
    **{"transaction_count": 1, "line_count": 2, "quantity": Decimal("2.375"), "net_amount": 5},
    **{"estimated_transaction_count": 1.0, "estimated_quantity": 2.375, "estimated_net_amount": 5.000001},
}
AFFINITY = {"age_group": "25-34", "product_category": "MILK"}
COVERAGE = {
    **{"store_id": "0042", "till_id": "03", "hour": 12},
    **{"transaction_count": 1, "with_usable_face_count": 1, "reasons": []},
    **{"photo_count": 2, "usable_photo_count": 1, "matched_photo_count": 1, "unmatched_photo_count": 1},
    "unusable_photo_reasons": [("empty", 1)],
}
ESTIMATED = BUYER | {
    "estimate_status": "estimated",
    "photo_keys": ["a"],
    "photo_count": 1,
    "estimated_age_years": 30.0,
    "under_18_probability": 0.01,
}
SOUND_NIGHT: dict[Table, list[dict[str, Any]]] = {
    CHECKOUT_PHOTOS: [{"photo_key": "a"}, {"photo_key": "b"}],
    PHOTO_AGE_ESTIMATES: [
        {"photo_key": "a", "estimate_status": "estimated"},
        {"photo_key": "b", "estimate_status": "empty", "estimate_reason": "the photo has 0 bytes"},
    ],
    TRANSACTION_LINES: [line(is_alcohol=True, quantity="1.375"), line(line_number=2)],
    REJECTED_TRANSACTION_LINES: [],
    TRANSACTION_AGES: [ESTIMATED],
    AGE_GROUP_PURCHASES: [PURCHASES],
    AGE_GROUP_AFFINITY: [
        AFFINITY | {"affinity_index": 1.5},
        AFFINITY | {"age_group": "65+", "affinity_reason": "fewer than 30 transactions"},
    ],
    ALCOHOL_SALE_AUDIT: [UNCHECKED_SALE],
    ALCOHOL_REVIEW_CASES: [{"case_id": "c1", "review_rank": 1}],
    PHOTO_COVERAGE: [COVERAGE],
}
NOTHING_AUDITED: dict[Table, list[dict[str, Any]]] = {ALCOHOL_SALE_AUDIT: [], ALCOHOL_REVIEW_CASES: []}
USUAL_DAY = {
    "model_version": "age_resnet50-4",
    "transaction_count": 1,
    "photographed_transaction_count": 1,
    "estimated_transaction_count": 1,
    "mean_estimated_age_years": 31.0,
    "mean_under_18_probability": 0.02,
}
USUAL_DAYS = [USUAL_DAY] * 7
NO_ROWS: list[dict[str, Any]] = []


def results(
    settings: Settings,
    changed: dict[Table, list[dict[str, Any]]],
    trailing_runs: list[dict[str, Any]] = USUAL_DAYS,
    run_before: dict[str, Any] | None = None,
    neighbour_receipts: list[dict[str, Any]] = NO_ROWS,
    receipt_files: Sequence[str] = ("a.csv", "a.xlsx"),
    is_built_again: bool = False,
) -> dict[str, RuleResult]:
    """What each rule says of the sound night with other rows in some tables, after other days."""
    neighbours = pa.schema(
        [*(TRANSACTION_AGES.schema.field(name) for name in NEIGHBOUR_COLUMNS), ("business_date", pa.date32())]
    )
    with duckdb.connect() as connection:
        connection.register("schema_columns", schema_columns({table: table.schema for table in NIGHT_TABLES}))
        connection.register("trailing_runs", pa.Table.from_pylist(trailing_runs, PIPELINE_RUNS.schema))
        connection.register(
            "run_before", pa.Table.from_pylist([run_before] if run_before else [], PIPELINE_RUNS.schema)
        )
        connection.register("neighbour_receipts", pa.Table.from_pylist(neighbour_receipts, neighbours))
        connection.register("receipt_files", file_rows(receipt_files))
        for table in NIGHT_TABLES:
            rows = (SOUND_NIGHT | changed).get(table, [])
            columns = pa.Table.from_pylist(rows, table.schema).select(checked_columns(table))
            connection.register(table.name, columns)
        day = business_day(BUSINESS_DATE, settings.time_zone, settings.business_date_allowance_minutes)
        found = check_results(connection, day, settings.model_dump(), is_built_again=is_built_again)
        return {result.rule: result for result in found}


def broken(results: dict[str, RuleResult], severity: str) -> list[str]:
    return [name for name, result in results.items() if result.is_broken and result.severity == severity]


RUN_BEFORE = {
    "run_id": "good",
    "transaction_count": 20,
    "photographed_transaction_count": 20,
    "estimated_transaction_count": 19,
}
"""Estimates are too few to be compared."""
