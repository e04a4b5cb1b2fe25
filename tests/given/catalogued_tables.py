"""catalogued_tables: published rows for the catalogue and for queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from jobs.schemas.table import Table
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE

DAY_BEFORE = BUSINESS_DATE - timedelta(days=1)


def publish(store: ObjectStore, table: Table, business_date: Any, *rows: dict[str, Any]) -> None:
    Warehouse(store, "run-1").published.write(table, business_date, pa.Table.from_pylist(list(rows), table.schema))


def covered(store_id: str, transaction_count: int) -> dict[str, Any]:
    return {"store_id": store_id, "till_id": "03", "hour": 9, "transaction_count": transaction_count, "run_id": "r"}
