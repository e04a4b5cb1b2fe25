"""parquet_batches: streams the rows of a Parquet file of any size in little memory.

One reader over a whole file keeps the bytes of each row group that it has read until its end: pyarrow reads ahead into
a cache (`pre_buffer`), so memory grows to the size of the file. A reader for some row groups at a time lets them go,
and still reads ahead, which object storage needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 65_536


def parquet_batches(
    parquet: pq.ParquetFile, columns: Sequence[str], batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some columns in order, in batches of at most `batch_rows` rows."""
    for row_groups in _row_groups_at_a_time(parquet.metadata, batch_rows):
        yield from parquet.iter_batches(batch_rows, row_groups=row_groups, columns=list(columns))


def _row_groups_at_a_time(metadata: pq.FileMetaData, row_count: int) -> Iterator[list[int]]:
    """Yield the numbers of all row groups: one at a time, or several small ones with about `row_count` rows."""
    waiting: list[int] = []
    waiting_rows = 0
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        if waiting and waiting_rows + rows > row_count:
            yield waiting
            waiting, waiting_rows = [], 0
        waiting.append(number)
        waiting_rows += rows
    if waiting:
        yield waiting
