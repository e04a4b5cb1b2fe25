"""wait_for_business_date: checks that the stores have delivered the whole day, and that its photos are still there."""

from __future__ import annotations

from datetime import date

from jobs.errors import NotLandedError
from jobs.landing.deleted_photos import refuse_if_photos_were_deleted
from jobs.landing.deliveries import missing_markers
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    landing = ObjectStore(settings.landing_uri)
    missing = missing_markers(landing, business_date)
    if missing:
        raise NotLandedError(
            f"business date {business_date} is not delivered yet: missing {' and '.join(missing)}; "
            "the stores write these marks when all photos and receipts of the day are there"
        )
    refuse_if_photos_were_deleted(warehouse, business_date, landing)
