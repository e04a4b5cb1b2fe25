"""table_files: writes a day of a table as one Parquet object: sorted by its key, with the meanings of its columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
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


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """Facts about a table file, gathered while its rows were written.

    `content_digest` is a sha256 of the content: of names and types of the columns, and of the rows. It does not depend
    on which run wrote the rows (NAMES_OF_RUNS are left out), nor on the file layout. `first_key` and `last_key` are the
    smallest and the largest key, with texts for dates and times; None in a file without rows.
    """

    row_count: int
    content_digest: str
    size_bytes: int | None = None
    first_key: list[object] | None = None
    last_key: list[object] | None = None


def write_table_file(store: ObjectStore, key: str, table: Table, batches: Iterable[pa.RecordBatch]) -> TableFile:
    """Write batches, sorted by the table's key, as one Parquet object with the table's schema and column meanings.

    Returns the facts about the file. Raises ValueError that names the first key that is null or occurs twice; then
    nothing is written.
    """
    first_key: list[object] | None = None
    last_key: list[object] | None = None
    with store.writer(key) as stream, RowDigest(table) as digest:
        with pq.ParquetWriter(stream, table.schema, compression="zstd") as parquet:
            for landed_rows in _row_groups(batches):
                rows = landed_rows.select(table.column_names).cast(table.schema)
                last_key = check_key(table, rows, last_key)
                first_key = first_key or _key_at(table, rows, 0)
                digest.add(rows)
                parquet.write_table(rows, row_group_size=rows.num_rows)
        return TableFile(
            row_count=digest.row_count,
            content_digest=digest.hexdigest(),
            size_bytes=stream.tell(),
            first_key=_in_json(first_key),
            last_key=_in_json(last_key),
        )


class RowDigest:
    """The digest of a table's rows, as `TableFile` describes it, which grows while rows are added."""

    def __init__(self, table: Table) -> None:
        self._schema = _digested_schema(table)
        self._connection = duckdb.connect(config={"threads": 1})
        self.row_count = 0
        self._xor: int | None = None
        self._sum: int | None = None

    def __enter__(self) -> RowDigest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def add(self, rows: pa.Table) -> None:
        """Add rows with the table's columns."""
        self._connection.register("new_rows", rows.select(self._schema.names).cast(self._schema))
        # Sum and xor do not depend on the order of rows. Two equal rows cancel out in the xor, but not in the sum.
        query = "SELECT count(*), bit_xor(hash(new_rows)), sum(hash(new_rows)) FROM new_rows"
        row_count, xor, total = self._connection.sql(query).fetchone() or (0, None, None)
        self._connection.unregister("new_rows")
        if row_count:
            self.row_count += row_count
            self._xor = (self._xor or 0) ^ xor
            self._sum = (self._sum or 0) + total

    def hexdigest(self) -> str:
        """Return the digest of all rows added so far."""
        sums = (self.row_count, self._xor, self._sum)
        return hashlib.sha256(f"{self._schema}{sums}".encode()).hexdigest()


@lru_cache
def _digested_schema(table: Table) -> pa.Schema:
    """Return the columns that are digested, as a reader of the file sees them: Parquet renames the items of lists."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.schema.empty_table(), sink)
    read = pq.read_schema(pa.BufferReader(sink.getvalue()))
    return pa.schema([field.remove_metadata() for field in read if field.name not in NAMES_OF_RUNS])


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
    first_key = _key_at(table, rows, 0)
    if first_key == last_key:
        raise ValueError(f"table '{table.name}': key {json.dumps(first_key, default=str)} is there twice")
    if pc.any(same).as_py():
        twice = _key_at(table, rows, pc.index(same, True).as_py())
        raise ValueError(f"table '{table.name}': key {json.dumps(twice, default=str)} is there twice")
    return _key_at(table, rows, rows.num_rows - 1)


def _key_at(table: Table, rows: pa.Table, row: int) -> list[object]:
    return [rows[name][row].as_py() for name in table.key]


def _in_json(key: list[object] | None) -> list[object] | None:
    """Return a key with texts for dates and times, which JSON does not know."""
    return None if key is None else list(json.loads(json.dumps(key, default=str)))
