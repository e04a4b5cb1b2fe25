"""photo_matching: which transaction each photo belongs to, in one pass over each till's day in order of time.

SQL window functions are not exact here. They look a fixed way along the ordered rows, but spans may lie within spans
(a receipt is parked while others are rung up), and then the next receipt to close after a photo need not have been open
yet. So the ordered rows of a till go past a heap of its open receipts: n log n whatever overlaps, in the memory that
the open receipts take, and no row is paired with others only to be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain, islice, tee

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

MICROSECONDS = 1_000_000
MATCH_COLUMNS = ["store_id", "till_id", "transaction_id", "photo_key", "taken_at"]
EVENT_TYPE = "store_id string, till_id string, moment bigint, closes bigint, name string"

TillEvent = tuple[str, str, int, int | None, str]
"""As EVENT_TYPE: a receipt that opens, when it closes and its transaction_id; or a photo, None and its key.

Moments are microseconds by the camera's clock.
"""


def matched_photos(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return MATCH_COLUMNS, one row per photo that belongs to a transaction.

    A photo whose key names a transaction belongs to that one, though the log may lack it. Any other belongs to the
    transaction of its till whose span, both ends included, holds the moment when it was taken; of several, to the one
    that closed first, which is nearest to the photo, and of those to the one whose transaction_id comes first.

    `transactions` have opened_at and closed_at by the till's clock, and till_clock_skew_seconds.
    """
    is_named = F.col("transaction_id").isNotNull()
    events = _till_events(photos.where(~is_named), transactions)
    held_photos = events.mapInArrow(_held_photos, f"{EVENT_TYPE}, transaction_id string").select(
        "*", F.col("name").alias("photo_key"), F.timestamp_micros("moment").alias("taken_at")
    )
    return photos.where(is_named).select(*MATCH_COLUMNS).unionByName(held_photos.select(*MATCH_COLUMNS))


def camera_microseconds(till_moment: str) -> Column:
    """Return a moment of the till's clock by the clock of its camera, in microseconds."""
    return F.unix_micros(till_moment) - F.round(F.col("till_clock_skew_seconds") * MICROSECONDS).cast("bigint")


def holding_receipts(events: Iterable[TillEvent]) -> Iterator[str | None]:
    """Yield for each photo the transaction_id of the receipt that it belongs to, for each other event None.

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
            yield None
        else:
            yield open_receipts[0][1] if open_receipts else None


def _till_events(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """One row per TillEvent; a till is in one partition, in the order that `holding_receipts` asks for."""
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


def _held_photos(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Keep the photos that a span holds, with its transaction_id. What is open at a batch's end is open in the next."""
    batches, ahead = tee(batches)
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in ahead)
    holders = holding_receipts(chain.from_iterable(rows))
    for batch in batches:
        transaction_ids = pa.array(list(islice(holders, batch.num_rows)), pa.string())
        yield batch.append_column("transaction_id", transaction_ids).filter(transaction_ids.is_valid())
