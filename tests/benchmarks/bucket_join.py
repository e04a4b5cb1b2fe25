"""bucket_join: match photos by an equality join on five-minute buckets, the baseline for matching in one pass."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

BUCKET_SECONDS = 300
TILL = ["store_id", "till_id"]


def matched_by_buckets(photos: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return one row per photo within a span, like photo_matching does for photos that name no transaction."""
    wanted = photos.select(*TILL, "photo_key", "taken_at", _bucket("taken_at").alias("bucket"))
    buckets = F.explode(F.sequence(_bucket("opened_at"), _bucket("closed_at")))
    candidates = wanted.join(transactions.withColumn("bucket", buckets), [*TILL, "bucket"], how="inner")
    holding = candidates.where(F.col("taken_at").between(F.col("opened_at"), F.col("closed_at")))
    first_closed = Window.partitionBy("photo_key").orderBy("closed_at", "transaction_id")
    nearest = holding.withColumn("rank", F.row_number().over(first_closed)).where(F.col("rank") == 1)
    return nearest.select(*TILL, "transaction_id", "photo_key", "taken_at")


def _bucket(moment: str) -> Column:
    return F.floor(F.unix_seconds(moment) / BUCKET_SECONDS)
