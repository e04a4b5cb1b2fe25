"""night_database: a run's staged tables as a DuckDB database, for the rules of check_night.

The tables are streamed, with only the columns that rules look at, into a file in a temporary folder, which takes a few
hundred megabytes for ten million receipt lines and goes afterwards. DuckDB keeps within MEMORY_LIMIT and uses the disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from jobs.tables import Table
from jobs.warehouse import Warehouse

MEMORY_LIMIT = "1GB"


@contextmanager
def night_database(
    warehouse: Warehouse, business_date: date, columns: Mapping[Table, Sequence[str]], trailing_window_days: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database of the staged tables, and of two more.

    `schema_columns` are the columns of each as declared and as staged, `trailing_runs` the rows in pipeline_runs of the
    published days of the window before.
    """
    schemas = {table: warehouse.staged_schema(table, business_date) for table in columns}
    with (
        TemporaryDirectory(prefix="checkout-ages-") as folder,
        duckdb.connect(Path(folder, "night.duckdb"), config={"memory_limit": MEMORY_LIMIT}) as connection,
    ):
        connection.register("schema_columns", schema_columns(schemas))
        connection.register("trailing_runs", warehouse.trailing_runs(business_date, trailing_window_days))
        for table, names in columns.items():
            staged_names = [name for name in names if name in schemas[table].names]
            with warehouse.staged_batches(table, business_date, staged_names) as staged_rows:
                connection.register("staged_rows", staged_rows)
                connection.execute(f"CREATE TABLE {table.name} AS FROM staged_rows")
                connection.unregister("staged_rows")
        yield connection


def schema_columns(staged_schemas: Mapping[Table, pa.Schema]) -> pa.Table:
    """Return origin (declared or staged), table_name, column_name and column_type of all columns."""
    rows = [
        {
            "origin": origin,
            "table_name": table.name,
            "column_name": field.name,
            "column_type": _type_name(field.type),
        }
        for table, staged_schema in staged_schemas.items()
        for origin, schema in (("declared", table.schema), ("staged", staged_schema))
        for field in schema
    ]
    return pa.Table.from_pylist(rows)


def _type_name(kind: pa.DataType) -> str:
    """Name a type; what Parquet calls the items of a list or map is its own affair."""
    return re.sub(r" \('\w+'\)", "", re.sub(r"list<\w+: ", "list<item: ", str(kind)))
