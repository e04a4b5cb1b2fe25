"""arrow_frames: reads objects into a Spark DataFrame, and writes a DataFrame as one Parquet object.

Arrow in, Arrow out, through `mapInArrow`. A Python data source of Spark does the same, but needs five more Python
processes per application (to look it up, plan, write and commit), which was half of the time of a step on a small day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.schemas.table import Table
from jobs.spark import code_digest, refuse_folder_of_this_machine, refuse_other_code
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.sorted_runs import MOST_PARTS, merged
from jobs.warehouse.table_files import TableFile, with_all_columns, write_table_file

Share = TypeVar("Share")

WRITTEN = pa.schema([("attempt_key", pa.string()), ("file", pa.string())])


def arrow_frame(
    session: SparkSession,
    store: ObjectStore,
    schema: pa.Schema,
    shares: Sequence[Share],
    read: Callable[[Share], Iterator[pa.RecordBatch]],
) -> DataFrame:
    """Return a DataFrame of the rows that `read` yields for each share of the work, with one Spark task per share.

    Raises InputError if tasks run on machines that cannot access the store. A task raises it if its code differs from
    the driver's. Spark cannot estimate how many rows there are: see `spark_session`.
    """
    refuse_folder_of_this_machine(session, store.uri)
    code = code_digest()

    def read_shares(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        refuse_other_code(code)
        for batch in numbers:
            for number in batch["id"].to_pylist():
                yield from read(shares[number])

    # One number per partition: each task looks up its own share by it.
    numbers = session.range(0, len(shares), numPartitions=max(1, len(shares)))
    rows = numbers.mapInArrow(read_shares, from_arrow_schema(schema))
    # With the limit Spark knows that there are no rows, and plans neither tasks nor Python workers for what follows.
    return rows if shares else rows.limit(0)


def parquet_frame(session: SparkSession, store: ObjectStore, key: str, schema: pa.Schema) -> DataFrame:
    """Read a Parquet object as a DataFrame, with one task per row group. A column that the file lacks is null."""
    with store.reader(key) as stream:
        row_groups = pq.ParquetFile(stream).num_row_groups

    def read(row_group: int) -> Iterator[pa.RecordBatch]:
        with store.reader(key) as stream:
            parquet = pq.ParquetFile(stream)
            names = [name for name in schema.names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(row_groups=[row_group], columns=names):
                yield with_all_columns(batch, schema)

    return arrow_frame(session, store, schema, range(row_groups), read)


def write_parquet(rows: DataFrame, store: ObjectStore, key: str, table: Table, attempts: str) -> TableFile:
    """Write a DataFrame as one Parquet object, sorted by the table's key, and check the key while writing.

    One task sorts all rows, up to some million short ones. Of a larger day, AQE gives each task a part of 64 MB, as
    compressed for a shuffle. The tasks sort and write their parts, and more tasks merge them, in the end one. So no
    task sorts a whole large day, and a smaller one needs no more stages than a single task does.

    A task streams to an object of its own below `attempts`. The object of the attempt that Spark accepts is then
    copied over the target in one atomic step. A task that is retried, killed or run twice leaves only its attempt.
    Returns the facts that the accepted attempt told about its object, so that nobody reads the object again.
    Raises PySparkException that names the first key that is null or occurs twice.
    """

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt_key = f"{attempts}/{table.name}-{uuid4().hex}.parquet"
        file = write_table_file(store, attempt_key, table, batches)
        yield pa.RecordBatch.from_pydict({"attempt_key": [attempt_key], "file": [json.dumps(asdict(file))]})

    # In one sorted file, a key that is there twice is next to itself. `repartition(1)` would never be split by AQE.
    sorted_parts = rows.hint("rebalance", 1).sortWithinPartitions(*table.key)
    written = sorted_parts.mapInArrow(write, from_arrow_schema(WRITTEN)).collect()
    if not written:  # Spark runs no task for what it knows to be empty
        return write_table_file(store, key, table, iter(()))
    attempt_keys = {part.attempt_key for part in written}
    # Tasks merge and not this process, which may be on a small machine.
    while len(written) > 1:
        part_keys = [part.attempt_key for part in written]
        groups = [part_keys[first : first + MOST_PARTS] for first in range(0, len(part_keys), MOST_PARTS)]
        merging = arrow_frame(rows.sparkSession, store, WRITTEN, groups, lambda keys: write(merged(store, table, keys)))
        written = merging.collect()
        attempt_keys |= {part.attempt_key for part in written}
    (whole,) = written
    store.copy(whole.attempt_key, key)
    store.delete(attempt_keys)
    return TableFile(**json.loads(whole.file))
