"""day_tables: loads the parts of a day's published tables that a report needs into a DuckDB database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb

from jobs.errors import InputError, StoreError
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE, REJECTED_TRANSACTION_LINES
from jobs.schemas.runs import CHECK_RESULTS
from jobs.schemas.table import Table
from jobs.warehouse.duckdb_tables import copy_rows, duckdb_on_disk
from jobs.warehouse.warehouse import Warehouse

THREADS = 8

COLUMNS: dict[Table, Sequence[str]] = {
    PHOTO_AGE_ESTIMATES: ["estimate_status", "run_id"],
    REJECTED_TRANSACTION_LINES: ["rejection_kind", "run_id"],
    TRANSACTION_AGES: ["estimate_status", "age_group", "run_id"],
    AGE_MIXES: [
        *("circle", "product_category", "transaction_count", "estimated_age_shares", "resampled_age_shares", "run_id")
    ],
    AGE_GROUP_PURCHASES: AGE_GROUP_PURCHASES.column_names,
    AGE_GROUP_AFFINITY: AGE_GROUP_AFFINITY.column_names,
    ALCOHOL_SALE_AUDIT: [
        *("id_check", "estimate_status", "under_legal_age_probability", "under_challenge_age_probability"),
        *("legal_purchase_age_years", "challenge_age_years", "audit_status", "run_id"),
    ],
    ALCOHOL_REVIEW_CASES: ["case_id", "run_id"],
    PHOTO_COVERAGE: PHOTO_COVERAGE.column_names,
    CHECK_RESULTS: CHECK_RESULTS.column_names,
}
"""The columns that the page uses. Photos, receipts and cashiers must not be added: pages are for many readers."""

WINDOW_COLUMNS = (
    *("compared_count", "asked_share_difference", "asked_share_difference_low", "asked_share_difference_high"),
    *("compared_asked_share", "expected_asked_share", "between_cashiers_deviation", "review_priority"),
    *("asked_count", "not_asked_count", "day_count", "window_first_date"),
)


@dataclass(frozen=True)
class DayTables:
    """A published day: its row of pipeline_runs, its tables in DuckDB (`connection`), and the runs of earlier days."""

    business_date: date
    run: Mapping[str, Any]
    run_count: int
    """How often the day was published."""
    runs_before: Mapping[date, Mapping[str, Any]]
    """The last run of each published day of the trailing window."""
    has_window: bool
    """Whether a window of cashiers that ends on the day is published."""
    connection: duckdb.DuckDBPyConnection

    def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """Run a query on the day's tables, and return its rows."""
        cursor = self.connection.execute(query, parameters)
        names = [name for name, *_ in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def day_tables(warehouse: Warehouse, business_date: date, trailing_window_days: int) -> Iterator[DayTables]:
    """Open the published tables of a day.

    Raises InputError when the day is not published, and StoreError while another run publishes it.
    """
    runs = warehouse.runs.of_day(business_date)
    if not runs:
        raise InputError(
            f"business date {business_date} is not published in '{warehouse.store.uri}'; run its night first"
        )
    run = max(runs, key=lambda each: each["published_at"])
    before = _runs_before(warehouse, business_date, trailing_window_days)
    has_window = warehouse.published.has_day(CASHIER_ALCOHOL_AUDIT, business_date)
    # On disk, because a large day has millions of receipts.
    with duckdb_on_disk() as connection:
        for table, names in (*COLUMNS.items(), (CASHIER_ALCOHOL_AUDIT, WINDOW_COLUMNS)):
            with warehouse.published.batches(table, business_date, names) as rows:
                copy_rows(connection, table.name, rows)
            # A page of two runs would contradict itself, so it is not made while another run publishes. The window is
            # published by a run of its own.
            if table != CASHIER_ALCOHOL_AUDIT:
                _refuse_another_run(connection, table, run["run_id"], business_date)
        yield DayTables(business_date, run, len(runs), before, has_window, connection)


def _refuse_another_run(connection: duckdb.DuckDBPyConnection, table: Table, run_id: str, business_date: date) -> None:
    query = f"SELECT min(run_id) FROM {table.name} WHERE run_id <> $run_id"
    (other,) = connection.execute(query, {"run_id": run_id}).fetchone() or (None,)
    if other:
        raise StoreError(
            f"published table '{table.name}' of {business_date} is from run '{other}', but the day from run "
            f"'{run_id}': another run is publishing the day, or died while it did; finish that run, then report again"
        )


def _runs_before(warehouse: Warehouse, business_date: date, days: int) -> dict[date, Mapping[str, Any]]:
    earlier = [business_date - timedelta(days=number) for number in range(days, 0, -1)]
    with ThreadPoolExecutor(THREADS) as pool:
        runs = pool.map(warehouse.runs.published, earlier)
        return {day: run for day, run in zip(earlier, runs, strict=True) if run}
