"""duckdb_rows: tables in DuckDB from rows in memory, as steps without Spark have them from staged files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from jobs.schemas.table import Table


@contextmanager
def rows_in_duckdb(rows_of_tables: Mapping[Table, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB database in memory with rows of tables, each under the table's name."""
    with duckdb.connect() as connection:
        for table, rows in rows_of_tables.items():
            connection.register(table.name, rows)
        yield connection
