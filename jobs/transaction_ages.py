"""transaction_ages: whose photos belong to a transaction, and how old that buyer looks."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs import tables
from jobs.age_groups import age_group
from jobs.age_inference import summarise_age
from jobs.settings import Settings
from jobs.warehouse import Warehouse

BUCKET_SECONDS = 300
LONGEST_SPAN_SECONDS = 7200
KEY = list(tables.TRANSACTION_KEY)


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(tables.TRANSACTION_LINES, business_date)
    checkout_photos = warehouse.read(tables.CHECKOUT_PHOTOS, business_date)
    photo_age_estimates = warehouse.read(tables.PHOTO_AGE_ESTIMATES, business_date)
    ages = transaction_ages(transaction_lines, checkout_photos, photo_age_estimates, settings)
    warehouse.stage(tables.TRANSACTION_AGES, business_date, ages)


def transaction_ages(
    transaction_lines: DataFrame, checkout_photos: DataFrame, photo_age_estimates: DataFrame, settings: Settings
) -> DataFrame:
    """Match photos to transactions and average the estimates of each transaction's photos.

    A photo whose key names a transaction belongs to it. Any other belongs to the transaction of its till whose span
    holds the moment it was taken; of several, to the one that closed nearest to that moment.
    """
    transactions = _transaction_spans(transaction_lines, settings.transaction_span_seconds)
    matched_photos = _matched_photos(checkout_photos.where(F.col("key_problem").isNull()), transactions)
    combined = _combined_estimates(matched_photos, photo_age_estimates)
    return _with_age(transactions.join(combined, KEY, how="left"), settings)


def _transaction_spans(transaction_lines: DataFrame, default_span_seconds: int) -> DataFrame:
    """One row per transaction: from opened_at, or a stated span before closed_at, to closed_at."""
    spans = transaction_lines.groupBy(*KEY).agg(
        F.min("opened_at").alias("logged"), F.max("closed_at").alias("closed_at")
    )
    earliest = F.col("closed_at") - F.make_dt_interval(secs=F.lit(LONGEST_SPAN_SECONDS))
    assumed = F.col("closed_at") - F.make_dt_interval(secs=F.lit(default_span_seconds))
    opened_at = F.greatest(F.coalesce("logged", assumed), earliest)
    return spans.select(*KEY, opened_at.alias("opened_at"), "closed_at")


def _matched_photos(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """One row per matched photo, found by one equality join: on the named transaction, or on five-minute buckets."""
    named_or_bucket = F.coalesce(_named(F.col("transaction_id")), _bucket_name(_bucket(F.col("taken_at"))))
    wanted = photos.select("store_id", "till_id", "photo_key", "taken_at", named_or_bucket.alias("place"))
    buckets = F.sequence(_bucket(F.col("opened_at")), _bucket(F.col("closed_at")))
    places = F.array_append(F.transform(buckets, _bucket_name), _named(F.col("transaction_id")))
    offered = transactions.withColumn("place", F.explode(places))
    is_held = F.col("taken_at").between(F.col("opened_at"), F.col("closed_at"))
    is_named = F.col("place") == _named(F.col("transaction_id"))
    candidates = wanted.join(offered, ["store_id", "till_id", "place"], how="inner").where(is_named | is_held)
    nearest_first = Window.partitionBy("photo_key").orderBy("closed_at", "transaction_id")
    nearest = candidates.withColumn("rank", F.row_number().over(nearest_first)).where(F.col("rank") == 1)
    return nearest.select(*KEY, "photo_key", "taken_at")


def _named(transaction_id: Column) -> Column:
    return F.concat(F.lit("transaction "), transaction_id)


def _bucket_name(bucket: Column) -> Column:
    return F.concat(F.lit("bucket "), bucket.cast("string"))


def _bucket(moment: Column) -> Column:
    return F.floor(F.unix_seconds(moment) / BUCKET_SECONDS)


def _combined_estimates(matched_photos: DataFrame, photo_age_estimates: DataFrame) -> DataFrame:
    """One row per transaction with photos: which, how many are usable, the mean of their distributions."""
    estimates = photo_age_estimates.select("photo_key", "age_distribution", "estimate_reason")
    photos = matched_photos.join(estimates, "photo_key", how="left")
    by_time = F.array_sort(F.collect_list(F.struct("taken_at", "photo_key", "estimate_reason", "age_distribution")))
    listed = photos.groupBy(*KEY).agg(by_time.alias("photos"), F.count("age_distribution").alias("usable_photo_count"))
    usable = F.filter("photos.age_distribution", lambda distribution: distribution.isNotNull())
    return listed.select(
        *KEY,
        F.col("photos.photo_key").alias("photo_keys"),
        F.size("photos").cast("bigint").alias("photo_count"),
        "usable_photo_count",
        F.element_at("photos.estimate_reason", 1).alias("first_reason"),
        _mean_distribution(usable).alias("age_distribution"),
    )


def _mean_distribution(distributions: Column) -> Column:
    """Average arrays of probabilities element by element; null when there is none."""
    total = F.reduce(
        F.slice(distributions, 2, F.greatest(F.size(distributions) - 1, F.lit(0))),
        F.element_at(distributions, 1),
        lambda total, distribution: F.zip_with(total, distribution, lambda left, right: left + right),
    )
    mean = F.transform(total, lambda share: (share / F.size(distributions)).cast("float"))
    return F.when(F.size(distributions) > 0, mean)


def _with_age(transactions: DataFrame, settings: Settings) -> DataFrame:
    counted = transactions.fillna(0, ["photo_count", "usable_photo_count"]).withColumn(
        "photo_keys", F.coalesce("photo_keys", F.array().cast("array<string>"))
    )
    estimated = counted.withColumn("summary", summarise_age(settings)("age_distribution"))
    return estimated.select(
        "*",
        "summary.*",
        _status().alias("estimate_status"),
        _reason().alias("estimate_reason"),
        age_group(F.col("summary.estimated_age_years"), settings.age_group_lower_bounds_years).alias("age_group"),
        F.lit(settings.model_version).alias("model_version"),
    )


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
