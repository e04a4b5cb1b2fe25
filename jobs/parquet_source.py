"""parquet_source: Spark reads and writes Parquet through object_store. Arrow in, Arrow out, two-phase commit.

A write is one task, sorted by key: it streams to a file of its own attempt and checks the key on the way; the
commit then copies that file over the target in one atomic replace. A task that is retried or killed leaves nothing
but an attempt file, which goes with the run's staging folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
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
from jobs.cluster import refuse_other_code
from jobs.object_store import ObjectStore
from jobs.table_files import with_all_columns, write_table_file

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
    """Options: `uri`, `key` (the object), `table`; for reading `code`, the driver's `code_digest`.

    For writing `attempts`, a folder for unfinished files.
    """

    @classmethod
    def name(cls) -> str:
        return FORMAT

    def reader(self, schema: StructType) -> DataSourceReader:
        columns = pa.schema([self._table.schema.field(name) for name in schema.names])
        return _Reader(ObjectStore(self.options["uri"]), self.options["key"], columns, self.options["code"])

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
        return _Writer(ObjectStore(self.options["uri"]), self.options["key"], self.options["attempts"], self._table)

    @property
    def _table(self) -> tables.Table:
        return next(table for table in tables.ALL_TABLES if table.name == self.options["table"])


class _Reader(DataSourceReader):
    def __init__(self, store: ObjectStore, key: str, schema: pa.Schema, code: str) -> None:
        self._store = store
        self._key = key
        self._schema = schema
        self._code = code

    def partitions(self) -> Sequence[RowGroup]:
        with self._store.reader(self._key) as stream:
            row_groups = pq.ParquetFile(stream).num_row_groups
        return [RowGroup(self._key, index) for index in range(row_groups)] or [RowGroup(self._key, -1)]

    def read(self, partition: RowGroup) -> Iterator[pa.RecordBatch]:  # type: ignore[override]
        refuse_other_code(self._code)
        if partition.index < 0:
            return
        with self._store.reader(partition.key) as stream:
            parquet = pq.ParquetFile(stream)
            names = [name for name in self._schema.names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(row_groups=[partition.index], columns=names):
                yield with_all_columns(batch, self._schema)


class _Writer(DataSourceArrowWriter):
    def __init__(self, store: ObjectStore, key: str, attempts: str, table: tables.Table) -> None:
        self._store = store
        self._key = key
        self._attempts = attempts
        self._table = table

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WrittenFile:
        attempt_key = f"{self._attempts}/{self._table.name}-{uuid4().hex}.parquet"
        write_table_file(self._store, attempt_key, self._table, iterator)
        return WrittenFile(attempt_key)

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        written = [message.key for message in messages if isinstance(message, WrittenFile)]
        if len(written) > 1:
            raise RuntimeError(f"table '{self._table.name}' came in {len(written)} files; it must come in one")
        if written:
            self._store.copy(written[0], self._key)
            self._store.delete(written)
        else:
            write_table_file(self._store, self._key, self._table, iter(()))

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        self._store.delete(message.key for message in messages if isinstance(message, WrittenFile))
