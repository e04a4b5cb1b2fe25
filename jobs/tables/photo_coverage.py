"""photo_coverage: how many transactions have a photo and a usable face, by store, till and hour, and why others do not.

These counts are the denominators of every share in the other tables. A transaction counts in the hour in which it was
paid, a photo in the hour in which it was taken.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.schemas.buyers import TRANSACTION_AGES, UNKNOWN
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

KEY = list(PHOTO_COVERAGE.key)
UNKNOWN_HOUR = -1
COUNTS = ("transaction_count", "with_photo_count", "with_usable_face_count", "photo_count", "usable_photo_count")
MATCH_COUNTS = ("matched_photo_count", "unmatched_photo_count")
REASONS = ("reasons", "unusable_photo_reasons")


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    checkout_photos = warehouse.read(CHECKOUT_PHOTOS, business_date)
    photo_age_estimates = warehouse.read(PHOTO_AGE_ESTIMATES, business_date)
    transaction_ages = warehouse.read(TRANSACTION_AGES, business_date)
    coverage = photo_coverage(checkout_photos, photo_age_estimates, transaction_ages, settings)
    warehouse.stage(PHOTO_COVERAGE, business_date, coverage)


def photo_coverage(
    checkout_photos: DataFrame, photo_age_estimates: DataFrame, transaction_ages: DataFrame, settings: Settings
) -> DataFrame:
    """Count transactions and photos by store, till and hour of the stores' time zone.

    Every transaction and every photo counts once. A photo whose key cannot be read counts under store and till
    'unknown' and hour -1, unless the key names them.
    """
    transactions = _transactions(transaction_ages, settings.store_time_zone)
    photos = _photos(checkout_photos, photo_age_estimates, transaction_ages, settings.store_time_zone)
    # Full join: an hour may have photos without transactions, or transactions without photos.
    coverage = transactions.join(photos, KEY, how="full").fillna(0, [*COUNTS, *MATCH_COUNTS])
    no_reasons = F.create_map().cast("map<string, bigint>")
    reasons = [F.coalesce(name, no_reasons).alias(name) for name in REASONS]
    return coverage.select(*KEY, *COUNTS, *MATCH_COUNTS, *reasons, F.lit(settings.model_version).alias("model_version"))


def _transactions(transaction_ages: DataFrame, time_zone: str) -> DataFrame:
    """Return one row per store, till and hour with transactions."""
    placed = transaction_ages.withColumn("hour", _hour("closed_at", time_zone))
    has_photo, has_usable_face = F.col("photo_count") > 0, F.col("usable_photo_count") > 0
    by_status = placed.groupBy(*KEY, "estimate_status").agg(
        F.count(F.lit(1)).alias("transaction_count"),
        F.count_if(has_photo).alias("with_photo_count"),
        F.count_if(has_usable_face).alias("with_usable_face_count"),
    )
    return _summed(by_status, "transaction_count", ["with_photo_count", "with_usable_face_count"], "reasons")


def _photos(
    checkout_photos: DataFrame, photo_age_estimates: DataFrame, transaction_ages: DataFrame, time_zone: str
) -> DataFrame:
    """Return one row per store, till and hour with photos."""
    statuses = photo_age_estimates.select("photo_key", "estimate_status")
    matched = transaction_ages.select(F.explode("photo_keys").alias("photo_key")).withColumn("is_matched", F.lit(True))
    # Left joins keep every photo. A key is in each table once, and in one transaction only, so none is counted twice.
    photos = checkout_photos.join(statuses, "photo_key", how="left").join(matched, "photo_key", how="left")
    placed = photos.fillna(UNKNOWN, ["store_id", "till_id"]).withColumn("hour", _hour("taken_at", time_zone))
    by_status = placed.groupBy(*KEY, "estimate_status").agg(
        F.count(F.lit(1)).alias("photo_count"),
        F.count_if(F.col("estimate_status") == "estimated").alias("usable_photo_count"),
        F.count_if(F.col("is_matched")).alias("matched_photo_count"),
        F.count_if(F.col("is_matched").isNull()).alias("unmatched_photo_count"),
    )
    counts = ["usable_photo_count", "matched_photo_count", "unmatched_photo_count"]
    return _summed(by_status, "photo_count", counts, "unusable_photo_reasons")


def _summed(by_status: DataFrame, total: str, counts: list[str], reasons: str) -> DataFrame:
    """Add up the rows of a store, till and hour; `reasons` maps each status without an estimate to its `total`."""
    without_estimate = F.when(F.col("estimate_status") != "estimated", F.struct("estimate_status", total))
    return by_status.groupBy(*KEY).agg(
        *(F.sum(name).alias(name) for name in (total, *counts)),
        # Estimated rows give null, which collect_list drops. Sorted, the map is the same in every run.
        F.map_from_entries(F.array_sort(F.collect_list(without_estimate))).alias(reasons),
    )


def _hour(moment: str, time_zone: str) -> Column:
    hour = F.hour(F.from_utc_timestamp(moment, time_zone))
    return F.coalesce(hour, F.lit(UNKNOWN_HOUR)).cast("int")
