"""coverage: which transactions have a photo and an age estimate, by till and hour, and why the others have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.report.day_tables import DayTables

TILLS_SHOWN = 25

BY_TILL_AND_HOUR = """
SELECT store_id, till_id, hour, sum(transaction_count)::BIGINT AS transactions,
    sum(with_photo_count)::BIGINT AS with_photo, sum(with_usable_face_count)::BIGINT AS with_estimate
FROM photo_coverage WHERE transaction_count > 0
GROUP BY GROUPING SETS ((store_id, till_id, hour), (store_id, till_id), (hour), ())
"""

REASONS = """
SELECT entry.key AS status, sum(entry.value)::BIGINT AS missing
FROM (SELECT unnest(map_entries({column})) AS entry FROM photo_coverage) GROUP BY ALL ORDER BY missing DESC, status
"""

PHOTOS = """
SELECT coalesce(sum(photo_count), 0)::BIGINT AS photos, coalesce(sum(usable_photo_count), 0)::BIGINT AS usable,
    coalesce(sum(unmatched_photo_count), 0)::BIGINT AS unmatched FROM photo_coverage
"""

Counts = Mapping[str, Any]
"""A row with transactions, with_photo and with_estimate."""


@dataclass(frozen=True)
class TillRow:
    """The counts of receipts of one till, or of all tills together, for the day and by hour."""

    store_id: str | None
    till_id: str | None
    whole_day: Counts
    by_hour: Mapping[int, Counts]

    @property
    def without_estimate(self) -> int:
        """Number of the day's transactions without an age estimate."""
        return int(self.whole_day["transactions"] - self.whole_day["with_estimate"])


@dataclass(frozen=True)
class Coverage:
    """How many of a day's transactions have a photo and an age estimate, by till and hour."""

    hours: Sequence[int]
    all_tills: TillRow | None
    tills: Sequence[TillRow]
    """Tills with most missing estimates first."""
    till_count: int
    missing_transactions: Sequence[Counts]
    """Status and count of transactions without an estimate."""
    missing_photos: Sequence[Counts]
    """Status and count of photos without an estimate."""
    photos: Counts


def coverage(day: DayTables) -> Coverage:
    """Count by till and hour: all transactions of the day, those with a photo, and those with an age estimate."""
    found = day.rows(BY_TILL_AND_HOUR)
    hours = sorted({row["hour"] for row in found if row["hour"] is not None})
    # The query's subtotals have null in place of an hour, and the grand total null in place of a till.
    by_till: dict[tuple[str | None, str | None], dict[int | None, Counts]] = {}
    for row in found:
        by_till.setdefault((row["store_id"], row["till_id"]), {})[row["hour"]] = row
    rows = [
        TillRow(store, till, by_hour[None], {hour: counts for hour, counts in by_hour.items() if hour is not None})
        for (store, till), by_hour in by_till.items()
    ]
    tills = sorted(
        (row for row in rows if row.store_id is not None),
        key=lambda row: (-row.without_estimate, row.store_id or "", row.till_id or ""),
    )
    all_tills = next((row for row in rows if row.store_id is None and row.whole_day["transactions"]), None)
    (photos,) = day.rows(PHOTOS)
    return Coverage(
        hours,
        all_tills,
        tills[:TILLS_SHOWN],
        len(tills),
        day.rows(REASONS.format(column="reasons")),
        day.rows(REASONS.format(column="unusable_photo_reasons")),
        photos,
    )


def shade(share: float) -> str:
    """Return the CSS class of a cell that shows this share."""
    # Five shades; a share of exactly 1 belongs to the last.
    return f"cover-{min(4, int(share * 5))}"
