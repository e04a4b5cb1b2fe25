"""transaction_ages: the photos that belong to each transaction, and the estimated age of its buyer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.ages.age_columns import summarise_age
from jobs.ages.age_groups import age_group
from jobs.ages.photo_matching import MICROSECONDS, camera_microseconds, matched_photos
from jobs.ages.till_numbers import number_of_till
from jobs.landing.receipt_comparison import LONGEST_SPAN_SECONDS
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse
from models.serving.age_distribution import YEARS_OF_AGE

KEY = list(TRANSACTION_KEY)


@dataclass(frozen=True)
class PhotoMatching:
    """The settings by which photos are matched to transactions and weighed."""

    transaction_span_seconds: int
    till_clock_skew_seconds: Mapping[str, float]
    photo_burst_seconds: float


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(TRANSACTION_LINES, business_date)
    checkout_photos = warehouse.read(CHECKOUT_PHOTOS, business_date)
    photo_age_estimates = warehouse.read(PHOTO_AGE_ESTIMATES, business_date)
    ages = transaction_ages(
        transaction_lines,
        checkout_photos,
        photo_age_estimates,
        settings.part(PhotoMatching),
        settings.age_group_lower_bounds_years,
        settings.model_version,
    )
    warehouse.stage(TRANSACTION_AGES, business_date, ages)


def transaction_ages(
    transaction_lines: DataFrame,
    checkout_photos: DataFrame,
    photo_age_estimates: DataFrame,
    matching: PhotoMatching,
    lower_bounds_years: Sequence[int],
    model_version: str,
) -> DataFrame:
    """Match photos to transactions, and average the estimates of each transaction's photos.

    A transaction with returns only, or with all lines voided, has a buyer too and therefore a row.
    """
    transactions = _transaction_spans(transaction_lines, matching)
    readable_photos = checkout_photos.where(F.col("key_problem").isNull())
    # Left join: a photo without an estimate still belongs to its transaction.
    estimated_photos = matched_photos(readable_photos, transactions).join(
        photo_age_estimates.select("photo_key", "age_distribution", "estimate_reason"), "photo_key", how="left"
    )
    combined = _combined_estimates(_weighed(estimated_photos, matching.photo_burst_seconds))
    return _with_age(transactions.join(combined, KEY, how="left"), lower_bounds_years, model_version)


def _transaction_spans(transaction_lines: DataFrame, matching: PhotoMatching) -> DataFrame:
    """Return one row per transaction with its span by the till's clock: from opened_at to closed_at.

    Where opened_at is not logged, the span begins `transaction_span_seconds` before closed_at.
    """
    spans = transaction_lines.groupBy(*KEY).agg(
        F.min("opened_at").alias("logged"), F.max("closed_at").alias("closed_at")
    )
    # A receipt that stayed open longer can only have photos from this last part of its span.
    earliest = F.col("closed_at") - F.make_dt_interval(secs=F.lit(LONGEST_SPAN_SECONDS))
    assumed = F.col("closed_at") - F.make_dt_interval(secs=F.lit(matching.transaction_span_seconds))
    opened_at = F.greatest(F.coalesce("logged", assumed), earliest)
    skew_seconds = number_of_till(matching.till_clock_skew_seconds, otherwise=0.0)
    return spans.select(*KEY, opened_at.alias("opened_at"), "closed_at", skew_seconds.alias("till_clock_skew_seconds"))


def _weighed(estimated_photos: DataFrame, burst_seconds: float) -> DataFrame:
    """Add each photo's weight: bursts of a transaction count the same, and so do usable photos of a burst."""
    by_time = Window.partitionBy(*KEY).orderBy("taken_at", "photo_key")
    since_last = F.unix_micros("taken_at") - F.lag(F.unix_micros("taken_at")).over(by_time)
    begins_burst = since_last > F.lit(round(burst_seconds * MICROSECONDS))
    photos = estimated_photos.withColumn("begins_burst", begins_burst)
    # The running count of gaps numbers the bursts of a transaction; the first photo has no gap before it.
    photos = photos.withColumn("burst", F.count_if("begins_burst").over(by_time))
    usable_in_burst = F.count("age_distribution").over(Window.partitionBy(*KEY, "burst"))
    return photos.withColumn("weight", F.when(F.col("age_distribution").isNotNull(), 1 / usable_in_burst))


def _combined_estimates(weighed_photos: DataFrame) -> DataFrame:
    """Return one row per transaction with photos: which, how many are usable, and their weighted mean distribution."""
    fields = ("taken_at", "photo_key", "estimate_reason", "age_distribution", "weight")
    # A struct sorts by its fields in order: by time, so that `first_reason` is the earliest photo's.
    by_time = F.array_sort(F.collect_list(F.struct(*fields)))
    listed = weighed_photos.groupBy(*KEY).agg(
        by_time.alias("photos"),
        F.count("age_distribution").alias("usable_photo_count"),
        F.size(F.collect_set(F.when(F.col("weight").isNotNull(), F.col("burst")))).alias("usable_burst_count"),
        F.max("taken_at").alias("last_taken_at"),
    )
    return listed.select(
        *KEY,
        F.col("photos.photo_key").alias("photo_keys"),
        F.size("photos").cast("bigint").alias("photo_count"),
        "usable_photo_count",
        "last_taken_at",
        F.element_at("photos.estimate_reason", 1).alias("first_reason"),
        F.when(F.col("usable_photo_count") > 0, _mean_distribution()).alias("age_distribution"),
    )


def _mean_distribution() -> Column:
    """Average the probabilities of the usable photos year by year, by their weights."""
    total = F.reduce(
        F.filter("photos", lambda photo: photo["weight"].isNotNull()),
        F.array_repeat(F.lit(0.0), YEARS_OF_AGE),
        lambda total, photo: F.zip_with(
            total, photo["age_distribution"], lambda sum_so_far, share: sum_so_far + share * photo["weight"]
        ),
    )
    # Weights add up to 1 in each usable burst, so this division makes the shares add up to 1 again.
    return F.transform(total, lambda share: (share / F.col("usable_burst_count")).cast("float"))


def _with_age(transactions: DataFrame, lower_bounds_years: Sequence[int], model_version: str) -> DataFrame:
    counted = transactions.fillna(0, ["photo_count", "usable_photo_count"]).withColumn(
        "photo_keys", F.coalesce("photo_keys", F.array().cast("array<string>"))
    )
    estimated = counted.withColumn("summary", summarise_age(model_version)("age_distribution"))
    return estimated.select(
        "*",
        "summary.*",
        _photo_offset_seconds().alias("photo_offset_seconds"),
        _status().alias("estimate_status"),
        _reason().alias("estimate_reason"),
        age_group(F.col("summary.estimated_age_years"), lower_bounds_years).alias("age_group"),
    )


def _photo_offset_seconds() -> Column:
    return (camera_microseconds("closed_at") - F.unix_micros("last_taken_at")) / MICROSECONDS


def _status() -> Column:
    return (
        F.when(F.col("usable_photo_count") > 0, "estimated")
        .when(F.col("photo_count") > 0, "no_usable_photo")
        .otherwise("no_photo")
    )


def _reason() -> Column:
    unusable = F.concat(F.lit("no usable photo: "), F.coalesce("first_reason", F.lit("no estimate")))
    return (
        F.when(F.col("usable_photo_count") > 0, F.lit(None).cast("string"))
        .when(F.col("photo_count") > 0, unusable)
        .otherwise("no photo was taken at this till during the transaction")
    )
