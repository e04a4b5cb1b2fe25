"""cashier_days: days of cashiers with their sales."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.tables.cashier_alcohol_days import cashier_alcohol_days
from tests.given.duckdb_rows import rows_in_duckdb
from tests.given.rows import at


def sales(
    cashier_id: str, count: int, asked: int, probability: float = 0.6, till_id: str = "03", clock: str = "12:00:00"
) -> list[dict[str, Any]]:
    """Return alcohol sales of a cashier to buyers who look alike; this many of them were asked for an ID."""
    return [
        {
            "store_id": "0042",
            "till_id": till_id,
            "cashier_id": cashier_id,
            "closed_at": at(clock),
            "id_check": "shown" if number < asked else "not_asked",
            "audit_status": "id_shown" if number < asked else "challenge_age_unchecked",
            "estimate_status": "estimated",
            "under_legal_age_probability": 0.1,
            "under_challenge_age_probability": probability,
        }
        for number in range(count)
    ]


def day_of(*rows: list[dict[str, Any]], run_id: str = "night-1") -> pa.Table:
    """Return rows of cashier_alcohol_days for these sales."""
    flat = [row for sales_of_one in rows for row in sales_of_one]
    days = cashier_days_of(pa.Table.from_pylist(flat, ALCOHOL_SALE_AUDIT.schema))
    for name, text in (("model_version", "age_resnet50-4"), ("run_id", run_id)):
        days = days.append_column(name, pa.repeat(pa.scalar(text), days.num_rows))
    return days.select(CASHIER_ALCOHOL_DAYS.column_names).cast(CASHIER_ALCOHOL_DAYS.schema)


def cashier_days_of(sales: pa.Table | pd.DataFrame) -> pa.Table:
    """Return cashier_alcohol_days of rows of alcohol_sale_audit in hours of UTC, without model and run."""
    with rows_in_duckdb({ALCOHOL_SALE_AUDIT: sales}) as connection:
        return cashier_alcohol_days(connection, "UTC")
