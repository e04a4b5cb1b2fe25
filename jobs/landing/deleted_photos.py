"""deleted_photos: refuses a run of a published day if `retain` has deleted photos of that day."""

from __future__ import annotations

from datetime import date

from jobs.errors import InputError
from jobs.landing.deliveries import SUCCESS, photos_folder
from jobs.schemas.runs import RETENTION_RUNS
from jobs.warehouse.object_store import ObjectStore, StoredObject
from jobs.warehouse.warehouse import Warehouse


def photos_of(landing: ObjectStore, business_date: date) -> list[StoredObject]:
    """List all objects in a day's folder of photos except its completion mark."""
    folder = photos_folder(business_date)
    return [entry for entry in landing.list(folder) if entry.key != f"{folder}/{SUCCESS}"]


def refuse_if_photos_were_deleted(warehouse: Warehouse, business_date: date, landing: ObjectStore) -> None:
    """Raise InputError if `retain` deleted photos of a published day, so that a new run would publish fewer of them.

    A day that was never published may run without the deleted photos: there are no better tables to keep.
    """
    records = warehouse.runs.of_day(business_date, RETENTION_RUNS)
    # The mark covers the time while `retain` deletes and has not yet written its record.
    is_deleting = warehouse.store.exists(deletion_mark(business_date))
    published = warehouse.runs.published(business_date) if records or is_deleting else None
    if published is None or len(photos_of(landing, business_date)) >= published["landed_photo_count"]:
        return
    when = f"on {max(record['deleted_at'] for record in records):%Y-%m-%d}" if records else "just now"
    raise InputError(
        f"photos of business date {business_date} were deleted {when}, at the end of their retention period, and a run "
        "would replace the published day with one that lacks their age estimates; keep the published tables, or "
        f"restore the photos to '{landing.location(photos_folder(business_date))}' first"
    )


def deletion_mark(business_date: date) -> str:
    """Return the key of the object in which `retain` lists the photos of a day that it is about to delete."""
    return f"_retention/business_date={business_date.isoformat()}.json"
