"""rows: literal rows for tests, with defaults for all columns that a test does not name."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.schemas.table import Table

BUSINESS_DATE = date(2026, 11, 20)


def at(clock: str) -> datetime:
    """Return a moment of the business date: at("18:30:15")."""
    return datetime.fromisoformat(f"{BUSINESS_DATE}T{clock}").replace(tzinfo=UTC)


def rows_of(spark: SparkSession, table: Table, *rows: dict[str, Any]) -> DataFrame:
    """Make a DataFrame with a table's schema; columns that a row does not name are null."""
    values = [tuple(row.get(name) for name in table.column_names) for row in rows]
    return spark.createDataFrame(values, from_arrow_schema(table.schema))


def arrow_rows(table: Table, *rows: dict[str, Any]) -> pa.Table:
    """Return the same rows in memory, without Spark and without run_id, as input of `stage_arrow`."""
    return pa.Table.from_pylist(list(rows), table.schema).drop_columns("run_id")


def line(**given: Any) -> dict[str, Any]:
    """Return a valid receipt line; `quantity` and `net_amount` may be text."""
    defaults = {
        "store_id": "0042",
        "till_id": "03",
        "transaction_id": "t1",
        "line_number": 1,
        "cashier_id": "c1",
        "opened_at": at("18:30:00"),
        "closed_at": at("18:31:00"),
        "line_type": "sale",
        "sku": "s1",
        "product_category": "MILK",
        "quantity": "1",
        "net_amount": "2.50",
        "currency": "USD",
        "is_alcohol": False,
        "id_check": None,
    }
    row = defaults | given
    return row | {"quantity": Decimal(row["quantity"]), "net_amount": Decimal(row["net_amount"])}


def certain_of(age_years: int) -> list[float]:
    """Return the distribution of a person who is surely this old."""
    return [float(year == age_years) for year in range(101)]
