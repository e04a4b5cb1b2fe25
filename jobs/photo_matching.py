"""photo_matching: which transaction each photo belongs to, in one pass over each till's day in order of time.

SQL window functions are not exact here. They look a fixed way along the ordered rows, but spans may lie within spans
(a receipt is parked while others are rung up), and then the next receipt to close after a photo need not have been open
yet. So the ordered rows of a till go past a heap of its open receipts: n log n whatever overlaps, in the memory that
the open receipts take, and no row is paired with others only to be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain, islice

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

MICROSECONDS = 1_000_000
ROWS_PER_BATCH = 10_000
MATCH_COLUMNS = ["store_id", "till_id", "transaction_id", "photo_key", "taken_at"]
MATCH_SCHEMA = pa.schema(
    {
        "store_id": pa.string(),
        "till_id": pa.string(),
        "transaction_id": pa.string(),
        "photo_key": pa.string(),
        "moment": pa.int64(),
    }
)

TillEvent = tuple[str, str, int, int | None, str]
"""store_id, till_id, moment, and of a receipt when it closes and its transaction_id, of a photo None and its key.

Moments are microseconds by the camera's clock; that of a receipt is when it opens.
"""
Match = tuple[str, str, str, str, int]
"""store_id, till_id, transaction_id, photo_key, moment of the photo."""


def matched_photos(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return MATCH_COLUMNS, one row per photo that belongs to a transaction.

    A photo whose key names a transaction belongs to that one, though the log may lack it. Any other belongs to the
    transaction of its till whose span, both ends included, holds the moment when it was taken; of several, to the one
    that closed first, which is nearest to the photo, and of those to the one whose transaction_id comes first.

    `transactions` have opened_at and closed_at by the till's clock, and till_clock_skew_seconds.
    """
    is_named = F.col("transaction_id").isNotNull()
    events = _till_events(photos.where(~is_named), transactions)
    held = events.mapInArrow(_matches_of_partition, from_arrow_schema(MATCH_SCHEMA))
    held = held.withColumn("taken_at", F.timestamp_micros("moment"))
    return photos.where(is_named).select(*MATCH_COLUMNS).unionByName(held.select(*MATCH_COLUMNS))


def camera_microseconds(till_moment: str) -> Column:
    """Return a moment of the till's clock by the clock of its camera, in microseconds."""
    return F.unix_micros(till_moment) - F.round(F.col("till_clock_skew_seconds") * MICROSECONDS).cast("bigint")


def matches(events: Iterable[TillEvent]) -> Iterator[Match]:
    """Yield the match of each photo that a span holds.

    Events come till by till, in order of their moments, receipts before photos of the same moment.
    """
    till = None
    open_receipts: list[tuple[int, str]] = []
    for store_id, till_id, moment, closes, name in events:
        if till != (store_id, till_id):
            till, open_receipts = (store_id, till_id), []
        while open_receipts and open_receipts[0][0] < moment:
            heappop(open_receipts)
        if closes is not None:
            heappush(open_receipts, (closes, name))
        elif open_receipts:
            yield store_id, till_id, open_receipts[0][1], name, moment


def _till_events(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """One row per TillEvent; a till is in one partition, in the order that `matches` asks for."""
    receipts = transactions.select(
        "store_id",
        "till_id",
        camera_microseconds("opened_at").alias("moment"),
        camera_microseconds("closed_at").alias("closes"),
        F.col("transaction_id").alias("name"),
    )
    shots = photos.select(
        "store_id",
        "till_id",
        F.unix_micros("taken_at").alias("moment"),
        F.lit(None).cast("bigint").alias("closes"),
        F.col("photo_key").alias("name"),
    )
    by_till = receipts.unionByName(shots).repartition("store_id", "till_id")
    return by_till.sortWithinPartitions("store_id", "till_id", "moment", F.col("closes").asc_nulls_last())


def _matches_of_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Match across batches: a receipt that is open at the end of one is open in the next."""
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches)
    found = matches(chain.from_iterable(rows))
    while some := list(islice(found, ROWS_PER_BATCH)):
        yield pa.record_batch([pa.array(values) for values in zip(*some, strict=True)], schema=MATCH_SCHEMA)
