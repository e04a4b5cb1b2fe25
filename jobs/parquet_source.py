"""parquet_source: Spark reads and writes Parquet through object_store. Arrow in, Arrow out, two-phase commit.

A write is one task, sorted by key: it streams to a file of its own attempt and checks the key on the way; the
commit then copies that file over the target in one atomic replace. A task that is retried or killed leaves nothing
but an attempt file, which goes with the run's staging folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceReader,
    InputPartition,
    WriterCommitMessage,
)
from pyspark.sql.types import StructType

from jobs import tables
from jobs.object_store import ObjectStore

ROW_GROUP_ROWS = 65_536
FORMAT = "object_store_parquet"


@dataclass
class RowGroup(InputPartition):
    """One row group of one Parquet object."""

    key: str
    index: int


@dataclass
class WrittenFile(WriterCommitMessage):
    """What a task wrote."""

    key: str


class ObjectStoreParquet(DataSource):
    """Options: `uri`, `key` (the object), `table`, and for writing `attempts` (a folder for unfinished files)."""

    @classmethod
    def name(cls) -> str:
        return FORMAT

    def reader(self, schema: StructType) -> DataSourceReader:
        return _Reader(ObjectStore(self.options["uri"]), self.options["key"], self._table)

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
        return _Writer(ObjectStore(self.options["uri"]), self.options["key"], self.options["attempts"], self._table)

    @property
    def _table(self) -> tables.Table:
        return next(table for table in tables.ALL_TABLES if table.name == self.options["table"])


class _Reader(DataSourceReader):
    def __init__(self, store: ObjectStore, key: str, table: tables.Table) -> None:
        self._store = store
        self._key = key
        self._table = table

    def partitions(self) -> Sequence[RowGroup]:
        with self._store.reader(self._key) as stream:
            row_groups = pq.ParquetFile(stream).num_row_groups
        return [RowGroup(self._key, index) for index in range(row_groups)] or [RowGroup(self._key, -1)]

    def read(self, partition: RowGroup) -> Iterator[pa.RecordBatch]:  # type: ignore[override]
        if partition.index < 0:
            return
        with self._store.reader(partition.key) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(row_groups=[partition.index]):
                yield with_all_columns(batch, self._table.schema)


class _Writer(DataSourceArrowWriter):
    def __init__(self, store: ObjectStore, key: str, attempts: str, table: tables.Table) -> None:
        self._store = store
        self._key = key
        self._attempts = attempts
        self._table = table

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WrittenFile:
        attempt_key = f"{self._attempts}/{self._table.name}-{uuid4().hex}.parquet"
        write_parquet(self._store, attempt_key, self._table, iterator)
        return WrittenFile(attempt_key)

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        written = [message.key for message in messages if isinstance(message, WrittenFile)]
        if len(written) > 1:
            raise RuntimeError(f"table '{self._table.name}' came in {len(written)} files; it must come in one")
        if written:
            self._store.copy(written[0], self._key)
            self._store.delete(written)
        else:
            write_parquet(self._store, self._key, self._table, iter(()))

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        self._store.delete(message.key for message in messages if isinstance(message, WrittenFile))


def with_all_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch with the columns of a schema, null where it was written before a table had the column."""
    columns = [
        batch[field.name].cast(field.type) if field.name in batch.schema.names else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def write_parquet(store: ObjectStore, key: str, table: tables.Table, batches: Iterator[pa.RecordBatch]) -> None:
    """Write batches sorted by the table's key as one Parquet object with the table's schema and column meanings.

    Raises ValueError naming the first key that is null, out of order or there twice; then nothing is written.
    """
    last_key: list[object] | None = None
    with (
        store.writer(key) as stream,
        pq.ParquetWriter(stream, table.schema, compression="zstd") as parquet,
    ):
        for batch in batches:
            rows = pa.Table.from_batches([batch]).select(table.column_names).cast(table.schema)
            last_key = check_key(table, rows, last_key)
            parquet.write_table(rows, row_group_size=ROW_GROUP_ROWS)


def check_key(table: tables.Table, rows: pa.Table, last_key: list[object] | None) -> list[object] | None:
    """Check that the key is never null and that sorted rows differ from the one before; return the last key.

    `last_key` is the key of the row before the first, None at the start.
    """
    if rows.num_rows == 0:
        return last_key
    keys = rows.select(table.key)
    for name in table.key:
        if keys[name].null_count:
            raise ValueError(f"table '{table.name}': key column '{name}' is null in {keys[name].null_count} rows")
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
