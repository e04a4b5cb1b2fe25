"""table_files: writes a day of a table as one Parquet object: sorted by its key, with the meanings of its columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import TypeVar
from zlib import crc32

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.schemas.table import Table
from jobs.warehouse.object_store import ObjectStore

ROW_GROUP_ROWS = 65_536
LAYOUTS = 4_093
"""Number of row-group sizes. With fewer, two runs would more often have the same size: see `row_group_rows`."""
Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)
NAMES_OF_RUNS = {"run_id", "inferred_run_id"}
"""Columns that name the run which made a row. They are left out of the digest, or no two runs would ever agree."""


def with_all_columns(rows: Rows, schema: pa.Schema) -> Rows:
    """Return the rows with all columns of a schema; a column that is newer than their file is null."""
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.schema.names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return type(rows).from_arrays(columns, schema=schema)


def write_table_file(store: ObjectStore, key: str, table: Table, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches, sorted by the table's key, as one Parquet object with the table's schema and column meanings.

    Raises ValueError that names the first key that is null or occurs twice; then nothing is written.
    """
    last_key: list[object] | None = None
    with (
        store.writer(key) as stream,
        pq.ParquetWriter(stream, table.schema, compression="zstd") as parquet,
    ):
        for landed_rows in _row_groups(batches):
            rows = landed_rows.select(table.column_names).cast(table.schema)
            last_key = check_key(table, rows, last_key)
            parquet.write_table(rows, row_group_size=rows.num_rows)


def content_digest(parquet: pq.ParquetFile) -> str:
    """Return a sha256 of the content of a table file: names and types of its columns, and hashes of its rows.

    The digest does not depend on which run wrote the rows (NAMES_OF_RUNS are left out), nor on the file layout.
    """
    fields = [field for field in parquet.schema_arrow if field.name not in NAMES_OF_RUNS]
    schema = pa.schema([field.remove_metadata() for field in fields])
    batches = parquet.iter_batches(columns=schema.names)
    with duckdb.connect() as connection:
        connection.register(
            "file_rows", pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
        )
        # Sum and xor do not depend on the order of rows. Two equal rows cancel out in the xor, but not in the sum.
        sums = connection.sql(
            "SELECT count(*), bit_xor(hash(file_rows)), sum(hash(file_rows)) FROM file_rows"
        ).fetchone()
    return hashlib.sha256(f"{schema}{sums}".encode()).hexdigest()


def row_group_rows(run_id: str) -> int:
    """Return the number of rows in each row group (block) of a run's Parquet files. It differs from run to run.

    That is on purpose. DuckDB reopens a file for every row group. If another run has replaced the file meanwhile, the
    blocks have other sizes, so the read fails instead of mixing rows of two runs.
    """
    return ROW_GROUP_ROWS + crc32(run_id.encode()) % LAYOUTS


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Regroup batches into row groups. One Spark task reads one row group."""
    waiting: list[pa.RecordBatch] = []
    for batch in filter(len, batches):
        row_count = row_group_rows(batch["run_id"][0].as_py())
        waiting.append(batch)
        while sum(len(rows) for rows in waiting) >= row_count:
            joined = pa.Table.from_batches(waiting)
            yield joined.slice(0, row_count)
            waiting = joined.slice(row_count).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting)


def check_key(table: Table, rows: pa.Table, last_key: list[object] | None) -> list[object] | None:
    """Check that no key of sorted rows is null or occurs twice, and return the key of the last row.

    `last_key` is the key of the row before these rows, None at the start.
    """
    if rows.num_rows == 0:
        return last_key
    keys = rows.select(table.key)
    for name in table.key:
        if keys[name].null_count:
            raise ValueError(f"table '{table.name}': key column '{name}' is null in {keys[name].null_count} rows")
    # Rows are sorted by the key, so only neighbours can be equal.
    same = pa.chunked_array([pa.repeat(True, rows.num_rows - 1)])
    for name in table.key:
        same = pc.and_(same, pc.equal(keys[name].slice(1), keys[name].slice(0, rows.num_rows - 1)))
    first_key = [value.as_py() for value in (keys[name][0] for name in table.key)]
    if first_key == last_key:
        raise ValueError(f"table '{table.name}': key {json.dumps(first_key, default=str)} is there twice")
    if pc.any(same).as_py():
        row = pc.index(same, True).as_py()
        twice = [keys[name][row].as_py() for name in table.key]
        raise ValueError(f"table '{table.name}': key {json.dumps(twice, default=str)} is there twice")
    return [keys[name][rows.num_rows - 1].as_py() for name in table.key]
