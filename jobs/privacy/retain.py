"""retain: deletes photos from the landing after their retention period, and records it; receipts and marks stay.

It can be killed at any point and run again. Each batch is noted before it is deleted, so the records in retention_runs
add up to what was really deleted. A published day keeps its tables. A later night of that day is refused, because
without the photos it would publish worse tables.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jobs.errors import InputError
from jobs.landing.deleted_photos import deletion_mark, photos_of
from jobs.schemas.runs import RETENTION_RUNS
from jobs.warehouse.object_store import ObjectStore, StoredObject
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)

BATCH_PHOTOS = 1000
"""Photos per mark. A larger batch makes a larger mark; a smaller one writes marks more often."""
THREADS = 16


@dataclass(frozen=True)
class DeletedPhotos:
    """The number and size of a day's deleted photos."""

    photo_count: int = 0
    size_bytes: int = 0

    def with_deleted(self, photos: Sequence[tuple[str, int]]) -> DeletedPhotos:
        """Return the sum of these and further deleted photos, each given as (key, size)."""
        return DeletedPhotos(self.photo_count + len(photos), self.size_bytes + sum(size for _, size in photos))


def expired_days(landing: ObjectStore, as_of: date, time_zone: ZoneInfo, retention_days: int) -> list[date]:
    """Return the business dates whose retention period has ended by a date, in order.

    Raises InputError if `as_of` is in the future, because photos that are still needed would be deleted.
    """
    today = datetime.now(time_zone).date()
    if as_of > today:
        raise InputError(f"--as-of {as_of} is yet to come; name {today} or an earlier date")
    first_kept = as_of - timedelta(days=retention_days)
    folders, _ = landing.list_folder("photos")
    days = (_business_date(landing, folder) for folder in folders)
    return sorted(day for day in days if day and day < first_kept)


def delete_photos(
    warehouse: Warehouse, landing: ObjectStore, business_date: date, retention_days: int, lock_stale_seconds: int
) -> DeletedPhotos:
    """Delete a day's photos and record it; return what this call deleted."""
    with warehouse.runs.lock(business_date, lock_stale_seconds, RETENTION_RUNS) as lock:
        photos = photos_of(landing, business_date)
        _settle(warehouse, business_date, {photo.key for photo in photos}, retention_days)
        before = gone = _recorded(warehouse, business_date)
        for batch in _batches(photos):
            # A process that lost the lock stops here: another one now deletes and counts the same photos.
            lock.renew()
            # Before the deletion: afterwards nobody could tell which photos of a killed batch there were.
            _write_mark(warehouse, business_date, gone, batch)
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda photo: landing.delete([photo[0]]), batch))
            gone = gone.with_deleted(batch)
        if photos:
            _record(warehouse, business_date, gone, retention_days)
            _warn_if_never_published(warehouse, business_date)
    return DeletedPhotos(gone.photo_count - before.photo_count, gone.size_bytes - before.size_bytes)


def _business_date(landing: ObjectStore, folder: str) -> date | None:
    try:
        return date.fromisoformat(folder.removeprefix("photos/business_date="))
    except ValueError:
        log.warning("'%s' is not the folder of a business date; its objects are not deleted", landing.location(folder))
        return None


def _settle(warehouse: Warehouse, business_date: date, keys_there: set[str], retention_days: int) -> None:
    """Record what a killed run had deleted: those photos of its last batch that no longer exist."""
    try:
        mark = json.loads(warehouse.store.read(deletion_mark(business_date)))
    except FileNotFoundError:
        return
    deleted = [(key, size) for key, size in mark["batch"] if key not in keys_there]
    gone = DeletedPhotos(mark["photo_count"], mark["size_bytes"]).with_deleted(deleted)
    _record(Warehouse(warehouse.store, mark["run_id"]), business_date, gone, retention_days)


def _recorded(warehouse: Warehouse, business_date: date) -> DeletedPhotos:
    """Return what the run of this name has recorded before; it counts on from there."""
    own: list[dict[str, Any]] = [
        run for run in warehouse.runs.of_day(business_date, RETENTION_RUNS) if run["run_id"] == warehouse.run_id
    ]
    return DeletedPhotos(own[0]["deleted_photo_count"], own[0]["deleted_bytes"]) if own else DeletedPhotos()


def _record(warehouse: Warehouse, business_date: date, gone: DeletedPhotos, retention_days: int) -> None:
    row = {
        "run_id": warehouse.run_id,
        "deleted_at": datetime.now(UTC),
        "deleted_photo_count": gone.photo_count,
        "deleted_bytes": gone.size_bytes,
        "photo_retention_days": retention_days,
    }
    warehouse.runs.write(business_date, row, RETENTION_RUNS)
    # After the record: until then the mark says that photos are being deleted.
    warehouse.store.delete([deletion_mark(business_date)])


def _write_mark(
    warehouse: Warehouse, business_date: date, gone: DeletedPhotos, batch: Sequence[tuple[str, int]]
) -> None:
    mark = {
        "run_id": warehouse.run_id,
        "photo_count": gone.photo_count,
        "size_bytes": gone.size_bytes,
        "batch": batch,
    }
    warehouse.store.write(deletion_mark(business_date), json.dumps(mark).encode())


def _batches(photos: Sequence[StoredObject]) -> Iterator[list[tuple[str, int]]]:
    for start in range(0, len(photos), BATCH_PHOTOS):
        yield [(photo.key, photo.size_bytes) for photo in photos[start : start + BATCH_PHOTOS]]


def _warn_if_never_published(warehouse: Warehouse, business_date: date) -> None:
    if warehouse.runs.published(business_date) is None:
        log.warning("warn: %s was never published; a night of it will have no photos", business_date)
