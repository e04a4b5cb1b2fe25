"""delivery_database: a day's delivery as DuckDB tables, kept and rejected by the night's own rules, without Spark."""

from __future__ import annotations

import pyarrow as pa

from jobs.receipt_lines import JUDGED_LINE_SCHEMA

JUDGED_IN_DUCKDB = pa.schema(
    [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in JUDGED_LINE_SCHEMA
    ]
)
"""Times have no zone there, so that DuckDB writes them out as Spark does."""


def judged_in_duckdb(judged: pa.RecordBatch) -> pa.RecordBatch:
    """Return judged lines as rows of JUDGED_IN_DUCKDB."""
    return judged.cast(JUDGED_IN_DUCKDB)
