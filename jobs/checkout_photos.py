"""checkout_photos: the photo objects that landed for the day, placed by their key at a store, till and time."""

from __future__ import annotations

import re
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import tables
from jobs.business_day import BusinessDay, business_day
from jobs.erased import read_erased, without_erased_photos
from jobs.landing import landed_photos, photos_folder
from jobs.object_store import ObjectStore
from jobs.retain import refuse_if_photos_were_deleted
from jobs.settings import Settings
from jobs.warehouse import Warehouse

ID = r"([^/\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,200})"
"""Printable; a line break or a turn of the writing's direction in an id would deceive who reads it."""
FIELD_PATTERNS = {
    "store_id": ID,
    "till_id": ID,
    "transaction_id": ID,
    "taken_at": r"(\d{8}T\d{6}(?:\.\d{1,6})?Z)",
    "extension": r"((?i:jpg|jpeg|png))",
    "ignored": r"([^/]+)",
}
TAKEN_AT_FORMAT = "yyyyMMdd'T'HHmmss[.SSSSSS][.SSSSS][.SSSS][.SSS][.SS][.S]X"


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    refuse_if_photos_were_deleted(warehouse, business_date, ObjectStore(settings.landing_uri))
    photos = landed_photos(warehouse.spark, settings.landing_uri, business_date)
    template = f"{photos_folder(business_date)}/{settings.photo_key_template}"
    placed_photos = checkout_photos(photos, template, business_day(business_date, settings))
    erased = read_erased(warehouse.store, business_date)
    kept_photos = without_erased_photos(placed_photos, erased)
    warehouse.stage(tables.CHECKOUT_PHOTOS, business_date, kept_photos, erasure_count=erased.erasure_count)


def checkout_photos(photos: DataFrame, template: str, day: BusinessDay) -> DataFrame:
    """Read store, till, time and, where the template has it, transaction from each photo key.

    A key that does not match keeps its row, with `key_problem` in words; so does one that is of another date and names
    no transaction.
    """
    pattern, fields = key_pattern(template)
    placed = photos.select("*", *(_field(name, fields, f"^{pattern}\\z") for name in ("store_id", "till_id")))
    placed = placed.withColumn("transaction_id", _field("transaction_id", fields, f"^{pattern}\\z"))
    placed = placed.withColumn(
        "taken_at", F.try_to_timestamp(_field("taken_at", fields, f"^{pattern}\\z"), F.lit(TAKEN_AT_FORMAT))
    )
    return placed.withColumn("key_problem", _key_problem(template, day))


def key_pattern(template: str) -> tuple[str, list[str]]:
    """Return the regular expression of a photo key, and which field each of its groups is."""
    parts = re.split(r"\{(\w+)\}", template)
    pattern = "".join(FIELD_PATTERNS[part] if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return pattern, parts[1::2]


def _field(name: str, fields: list[str], pattern: str) -> Column:
    if name not in fields:
        return F.lit(None).cast("string").alias(name)
    found = F.regexp_extract("photo_key", pattern, fields.index(name) + 1)
    return F.nullif(found, F.lit("")).alias(name)


def _key_problem(template: str, day: BusinessDay) -> Column:
    taken_at = F.col("taken_at")
    is_unreadable = F.col("store_id").isNull() | taken_at.isNull()
    is_of_other_date = F.col("transaction_id").isNull() & ((taken_at < day.begins_at) | (taken_at >= day.ends_at))
    return F.when(is_unreadable, _of_key(f"does not match '{template}'")).when(
        is_of_other_date, _of_key(day.other_date)
    )


def _of_key(complaint: str) -> Column:
    return F.concat(F.lit("photo key '"), F.substring("photo_key", 1, 300), F.lit(f"' {complaint}"))
