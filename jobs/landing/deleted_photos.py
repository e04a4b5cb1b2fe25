"""deleted_photos: finds out whether photos of a day were deleted by age, so that a run would publish fewer of them."""

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
    """Raise InputError when a run of a day would publish fewer photos than are published, since `retain` deleted some.

    A day that was never published may run without them: there is nothing better to keep.
    """
    records = warehouse.runs.of_day(business_date, RETENTION_RUNS)
    # The mark covers the time while `retain` deletes and has not yet written its record.
    is_deleting = warehouse.store.exists(deletion_mark(business_date))
    published = warehouse.runs.published(business_date) if records or is_deleting else None
    if published is None or len(photos_of(landing, business_date)) >= published["landed_photo_count"]:
        return
    when = f"on {max(record['deleted_at'] for record in records):%Y-%m-%d}" if records else "just now"
    raise InputError(
        f"photos of business date {business_date} were deleted {when}, past their days, and a run would publish a day "
        f"without age estimates over the one that is out; leave its tables as they are, or put its photos back under "
        f"'{landing.location(photos_folder(business_date))}' first"
    )


def deletion_mark(business_date: date) -> str:
    """Return the key of the object that lists the photos of a day whose deletion has begun."""
    return f"_retention/business_date={business_date.isoformat()}.json"
