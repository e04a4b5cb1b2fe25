"""sorted_runs: merges sorted parts of a table, for days that are too large for one task to sort.

Many tasks sort a part each, others merge some parts each, until one merges the last ones: an external merge sort. The
parts may overlap as they like. So nobody has to know the ranges of the keys before the rows are made, for which Spark
would make them twice or store them first. Parts are read at once, a few rows at a time, so memory does not grow with
the number of rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.schemas.table import Table
from jobs.warehouse.object_store import ObjectStore

ROWS_AT_A_TIME = 100_000
"""Rows of all parts together that wait to be merged; as many are being read. A photo takes half a kilobyte."""
FEWEST_ROWS_OF_A_PART = 1_000
READ_BYTES = 256 * 1024
"""What is read at a time from a column of a part. Otherwise whole columns of a row group would wait for each part."""
MOST_PARTS = 20
"""Parts that a task may merge at once. Ten parts of photos take 0.8 GB of memory, thirty take 1.2 GB."""
READING_THREADS = 4


def merged(store: ObjectStore, table: Table, part_keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of several table files in the order of the table's key; each of them is in that order."""
    batch_rows = max(FEWEST_ROWS_OF_A_PART, ROWS_AT_A_TIME // len(part_keys))
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(READING_THREADS))
        streams = [stack.enter_context(store.reader(key, READ_BYTES)) for key in part_keys]
        # With pyarrow's own read-ahead (`pre_buffer`), READ_BYTES would not count.
        files = [pq.ParquetFile(stream, buffer_size=READ_BYTES, pre_buffer=False) for stream in streams]
        readers = [_Reader(table, file.iter_batches(batch_rows), pool) for file in files]
        while readers := [reader for reader in readers if reader.has_rows()]:
            # Up to this key, all rows of all parts have been read: what comes later in a part is larger.
            last_read = min(reader.last_key for reader in readers)
            yield from _in_order(table, [reader.take(last_read) for reader in readers if reader.first_key <= last_read])


def _in_order(table: Table, pieces: Sequence[_Piece]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of sorted pieces in order. Pieces that do not overlap need no sorting."""
    in_order = sorted(pieces, key=lambda piece: piece.first_key)
    rows = pa.concat_tables(piece.rows for piece in in_order)
    if any(earlier.last_key > later.first_key for earlier, later in pairwise(in_order)):
        # In one chunk, or sorting by several columns would be slow.
        rows = rows.combine_chunks().sort_by([(name, "ascending") for name in table.key])
    yield from rows.to_batches()


class _Piece:
    """Some rows of a part, in order, with the keys of the first and the last of them."""

    def __init__(self, table: Table, rows: pa.Table) -> None:
        self.rows = rows
        self._table = table
        self.first_key = self.key_at(0)
        self.last_key = self.key_at(rows.num_rows - 1)

    def key_at(self, row: int) -> tuple[Any, ...]:
        return tuple(self.rows[name][row].as_py() for name in self._table.key)


class _Reader:
    """The rows of a part that were read and not yet taken. A thread reads the batch after them meanwhile."""

    def __init__(self, table: Table, batches: Iterator[pa.RecordBatch], pool: ThreadPoolExecutor) -> None:
        self._table = table
        self._batches = batches
        self._pool = pool
        self._piece: _Piece | None = None
        self._next = self._pool.submit(next, self._batches, None)

    def has_rows(self) -> bool:
        """Say whether there are rows to take, after reading the next batch if all rows before it were taken."""
        if not self._piece and (batch := self._next.result()):
            rows = pa.Table.from_batches([batch])
            self._piece = _Piece(self._table, rows)
            self._next = self._pool.submit(next, self._batches, None)
        return self._piece is not None

    @property
    def first_key(self) -> tuple[Any, ...]:
        """The key of the first of the rows."""
        return self._rest.first_key

    @property
    def last_key(self) -> tuple[Any, ...]:
        """The key of the last of the rows."""
        return self._rest.last_key

    def take(self, last: tuple[Any, ...]) -> _Piece:
        """Take the rows up to and with a key; there must be some."""
        piece, rows = self._rest, self._rest.rows
        if piece.last_key <= last:
            self._piece = None
            return piece
        count = bisect_right(range(rows.num_rows), last, key=piece.key_at)
        self._piece = _Piece(self._table, rows.slice(count))
        return _Piece(self._table, rows.slice(0, count))

    @property
    def _rest(self) -> _Piece:
        assert self._piece, "has_rows() was not asked"
        return self._piece
