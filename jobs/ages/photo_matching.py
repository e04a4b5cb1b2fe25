"""photo_matching: finds the transaction that each photo belongs to, in one pass over the day of each till.

SQL window functions are not exact here. They look at a fixed number of neighbouring rows, but spans of receipts may lie
within each other: a receipt is parked while others are rung up. So the receipt that closes next after a photo may not
have been open at that moment. Instead, the receipts and photos of a till are read in order of time, with a heap of the
receipts that are open. That takes n log n steps, however spans overlap, and memory for the open receipts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

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


class OpenReceipts:
    """The receipts of a till that are open while its events pass, kept from one batch of events to the next."""

    def __init__(self) -> None:
        self._till: tuple[str, str] | None = None
        self._by_closing_time: list[tuple[int, str]] = []

    def holders(self, events: Iterable[TillEvent]) -> list[str | None]:
        """Return the transaction_id of the receipt that each photo belongs to; None for every other event.

        Events come till by till, in order of their moments, receipts before photos of the same moment.
        """
        return [self._holder(*event) for event in events]

    def _holder(self, store_id: str, till_id: str, moment: int, closes: int | None, name: str) -> str | None:
        if self._till != (store_id, till_id):
            self._till, self._by_closing_time = (store_id, till_id), []
        receipts = self._by_closing_time
        # A receipt that closes at the very moment of a photo still holds it.
        while receipts and receipts[0][0] < moment:
            heappop(receipts)
        if closes is not None:
            heappush(receipts, (closes, name))
            return None
        return receipts[0][1] if receipts else None


def matched_photos(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return MATCH_COLUMNS, one row per photo that belongs to a transaction.

    A photo with a key that names a transaction belongs to that transaction, even if the log lacks it. Any other photo
    belongs to a transaction of its till with a span, including both ends, that contains the moment of the photo. If
    there are several, it belongs to the one that closed first; of those, to the first by transaction_id.

    `transactions` have opened_at and closed_at by the till's clock, and till_clock_skew_seconds.
    """
    is_named = F.col("transaction_id").isNotNull()
    events = _till_events(photos.where(~is_named), transactions)
    held_photos = events.mapInArrow(_held_photos, f"{EVENT_TYPE}, transaction_id string").select(
        "*", F.col("name").alias("photo_key"), F.timestamp_micros("moment").alias("taken_at")
    )
    return photos.where(is_named).select(*MATCH_COLUMNS).unionByName(held_photos.select(*MATCH_COLUMNS))


def camera_microseconds(till_moment: str) -> Column:
    """Convert a moment by the till's clock to microseconds by the clock of the till's camera."""
    return F.unix_micros(till_moment) - F.round(F.col("till_clock_skew_seconds") * MICROSECONDS).cast("bigint")


def _till_events(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return one row per TillEvent; each till is in one partition, in the order that `OpenReceipts` needs."""
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
    """Keep the photos that a span holds, with its transaction_id."""
    # Receipts stay open from one batch to the next.
    open_receipts = OpenReceipts()
    for batch in batches:
        events = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        transaction_ids = pa.array(open_receipts.holders(events), pa.string())
        yield batch.append_column("transaction_id", transaction_ids).filter(transaction_ids.is_valid())
