"""photo_matching: which transaction each photo belongs to, in one pass in order of time over the day of each till.

SQL window functions are not exact here. They look a fixed way along the ordered rows, but spans may lie within spans: a
receipt is parked while others are rung up. Then the next receipt to close after a photo need not have been open yet. So
the ordered rows of a till pass a heap of its open receipts. That takes n log n steps however spans overlap and memory
for the open receipts only, and it pairs no rows that it later drops.
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
"""One row as EVENT_TYPE: a receipt that opens, with the moment when it closes and its transaction_id; or a photo, with
None and its key.

Moments are microseconds by the camera's clock.
"""


def matched_photos(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return MATCH_COLUMNS, one row per photo that belongs to a transaction.

    A photo whose key names a transaction belongs to it, even if the log lacks that transaction. Any other photo belongs
    to a transaction of its till whose span, including both ends, contains the moment it was taken. If there are
    several, it belongs to the one that closed first, which is nearest to the photo; of those, to the one whose
    transaction_id comes first.

    `transactions` have opened_at and closed_at by the till's clock, and till_clock_skew_seconds.
    """
    is_named = F.col("transaction_id").isNotNull()
    events = _till_events(photos.where(~is_named), transactions)
    held_photos = events.mapInArrow(_held_photos, f"{EVENT_TYPE}, transaction_id string").select(
        "*", F.col("name").alias("photo_key"), F.timestamp_micros("moment").alias("taken_at")
    )
    return photos.where(is_named).select(*MATCH_COLUMNS).unionByName(held_photos.select(*MATCH_COLUMNS))


def camera_microseconds(till_moment: str) -> Column:
    """Return a moment of the till's clock as microseconds by the clock of its camera."""
    return F.unix_micros(till_moment) - F.round(F.col("till_clock_skew_seconds") * MICROSECONDS).cast("bigint")


def holding_receipts(events: Iterable[TillEvent]) -> Iterator[str | None]:
    """Yield the transaction_id of the receipt that each photo belongs to; None for every other event.

    Events come till by till, in order of their moments, receipts before photos of the same moment.
    """
    till = None
    open_receipts: list[tuple[int, str]] = []
    for store_id, till_id, moment, closes, name in events:
        if till != (store_id, till_id):
            till, open_receipts = (store_id, till_id), []
        # A receipt that closes at the very moment of a photo still holds it.
        while open_receipts and open_receipts[0][0] < moment:
            heappop(open_receipts)
        if closes is not None:
            heappush(open_receipts, (closes, name))
            yield None
        else:
            yield open_receipts[0][1] if open_receipts else None


def _till_events(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return one row per TillEvent; each till is in one partition, in the order that `holding_receipts` needs."""
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
    # Nulls last: photos have no closing time and come after the receipts that open at their moment.
    return by_till.sortWithinPartitions("store_id", "till_id", "moment", F.col("closes").asc_nulls_last())


def _held_photos(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Keep the photos that a span holds, with its transaction_id; receipts stay open from one batch to the next."""
    # The matcher runs over all batches as one stream of rows; `tee` keeps the batches to attach its answers to.
    batches, ahead = tee(batches)
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in ahead)
    holders = holding_receipts(chain.from_iterable(rows))
    for batch in batches:
        transaction_ids = pa.array(list(islice(holders, batch.num_rows)), pa.string())
        yield batch.append_column("transaction_id", transaction_ids).filter(transaction_ids.is_valid())
