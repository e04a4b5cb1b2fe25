"""checkout_photos: the photos that the stores delivered for the day, with store, till and time from their keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from jobs.landing.business_day import BusinessDay, business_day
from jobs.landing.deleted_photos import refuse_if_photos_were_deleted
from jobs.landing.deliveries import landed_photos, photos_folder
from jobs.landing.photo_keys import PLACED_FIELDS, placed_photos
from jobs.landing.tombstones import read_erased, without_erased_photos
from jobs.schemas.landed import CHECKOUT_PHOTOS
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    refuse_if_photos_were_deleted(warehouse, business_date, ObjectStore(settings.landing_uri))
    photos = landed_photos(warehouse.spark, settings.landing_uri, business_date)
    template = f"{photos_folder(business_date)}/{settings.photo_key_template}"
    day = business_day(business_date, settings.time_zone, settings.business_date_allowance_minutes)
    placed = checkout_photos(photos, template, day)
    # The count of erasures is staged with the rows: publish_night refuses rows that were read before a later erasure.
    erased = read_erased(warehouse.store, business_date)
    kept_photos = without_erased_photos(placed, erased)
    warehouse.stage(CHECKOUT_PHOTOS, business_date, kept_photos, Origin(erasure_count=erased.erasure_count))


def checkout_photos(photos: DataFrame, template: str, day: BusinessDay) -> DataFrame:
    """Read store, till and time from each photo key, and the transaction if the template has one.

    A photo keeps its row, with the reason in `key_problem`, if its key does not match the template, or is of another
    date and names no transaction.
    """

    def place(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return (placed_photos(batch, template, day) for batch in batches)

    placed_fields = from_arrow_schema(pa.schema(PLACED_FIELDS)).fields
    return photos.mapInArrow(place, StructType([*photos.schema.fields, *placed_fields]))
