"""layout: the keys of tables in a warehouse, and the conversion of a small table to a Parquet object."""

from __future__ import annotations

import re
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import InputError
from jobs.schemas.table import Table


def path_safe(run_id: str) -> str:
    """Return a run id that can be the name of a folder. Raises InputError when it cannot."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", run_id):
        raise InputError(f"run id '{run_id}' may contain letters, digits, '.', '_' and '-' only")
    return run_id


def partition(business_date: date) -> str:
    """Return the folder name of a business date: business_date=2026-11-20."""
    return f"business_date={business_date.isoformat()}"


def published_key(table: Table, business_date: date) -> str:
    """Return the key of the published object that holds a day of a table."""
    return f"{table.name}/{partition(business_date)}/part-0.parquet"


def parquet(rows: pa.Table) -> bytes:
    """Return a small table as the bytes of a Parquet object."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    contents: bytes = sink.getvalue().to_pybytes()
    return contents
