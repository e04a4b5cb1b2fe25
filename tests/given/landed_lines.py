"""landed_lines: landed lines of a receipt as Arrow batches."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from jobs.landing.business_day import BusinessDay
from jobs.landing.landed_files import LANDED_LINE_SCHEMA
from tests.given.rows import BUSINESS_DATE, at

DAY = BusinessDay(BUSINESS_DATE, at("00:00:00"), at("23:00:00"))
LANDED = {
    "source_file": "transactions/a.csv",
    "line_in_file": 1,
    "transaction_id": "t1",
    "store_id": "0042",
    "till_id": "03",
    "cashier_id": "c1",
    "opened_at": "2026-11-20T18:30:00Z",
    "closed_at": "2026-11-20T18:31:00Z",
    "line_number": "1",
    "line_type": "sale",
    "sku": "s1",
    "product_category": "BEER",
    "quantity": "1",
    "net_amount": "2.50",
    "currency": "USD",
    "is_alcohol": "true",
    "id_check": "not_asked",
}


def landed_batch(*lines: dict[str, Any]) -> pa.RecordBatch:
    """Return landed lines, all fields as text; fields that a test does not name get default values."""
    return pa.RecordBatch.from_pylist([LANDED | line for line in lines], schema=LANDED_LINE_SCHEMA)
