"""matching: match photos to transactions on generated days, in one pass over each till and by a join of buckets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ages.photo_matching import matched_photos
from jobs.spark import spark_session
from tests.benchmarks.bucket_join import matched_by_buckets
from tests.benchmarks.job import Job, Ready
from tests.benchmarks.spark_stage import local_spark

METHODS = {"one pass": matched_photos, "bucket join": matched_by_buckets}
TRANSACTIONS_PER_TILL = 500
OPENING, OPEN_SECONDS = "2026-11-20 06:00:00", 14 * 3600
DRIVER_MEMORY = "3g"
SHORTEST_SPAN_SECONDS, LONGEST_SPAN_SECONDS = 20, 160


@contextmanager
def matching(job: Job) -> Iterator[Ready]:
    """Generate the days of the options. Each turn matches one day: as many photos as transactions, each within a span.

    `counts`: transactions of days of ordinary tills. `till_count`: transactions of a day at one till, named 'one till'.
    """
    with local_spark(len(job.cores), DRIVER_MEMORY):
        session = spark_session("benchmark")
        days = {str(count): (count, max(1, count // TRANSACTIONS_PER_TILL)) for count in job.options["counts"]}
        days["one till"] = (job.options["till_count"], 1)
        for name, (count, till_count) in days.items():
            _write_day(session, Path(job.work, name), count, till_count)
        yield Ready(lambda method, day: _matched_count(session, METHODS[method], Path(job.work, day)))


def _write_day(session: SparkSession, folder: Path, count: int, till_count: int) -> None:
    opening = F.unix_micros(F.lit(OPENING).cast("timestamp"))
    span = 1_000_000 * (SHORTEST_SPAN_SECONDS + _drawn("span") * (LONGEST_SPAN_SECONDS - SHORTEST_SPAN_SECONDS))
    closes = opening + (1_000_000 * OPEN_SECONDS * _drawn("closes")).cast("bigint")
    till = F.col("id") % till_count
    receipts = session.range(count).select(
        "id",
        (till / 8).cast("int").cast("string").alias("store_id"),
        (till % 8).cast("string").alias("till_id"),
        F.format_string("20261120-%09d", "id").alias("transaction_id"),
        F.timestamp_micros(closes - span.cast("bigint")).alias("opened_at"),
        F.timestamp_micros(closes).alias("closed_at"),
        F.timestamp_micros(closes - (span * _drawn("photo")).cast("bigint")).alias("taken_at"),
    )
    key = F.concat(F.lit("photos/business_date=2026-11-20/store_id="), "store_id", F.lit("/"), "id", F.lit(".jpg"))
    photos = receipts.select("store_id", "till_id", key.alias("photo_key"), "taken_at")
    receipts = receipts.drop("id", "taken_at").withColumn("till_clock_skew_seconds", F.lit(0.0))
    receipts.write.parquet(str(folder / "transactions"))
    photos.withColumn("transaction_id", F.lit(None).cast("string")).write.parquet(str(folder / "photos"))


def _drawn(what: str) -> Column:
    """Return a number from 0 to 1 that depends on the row only, so that all runs see the same day."""
    return F.pmod(F.xxhash64("id", F.lit(what)), F.lit(1_000_003)) / 1_000_003


def _matched_count(session: SparkSession, method: object, folder: Path) -> int:
    assert callable(method)
    photos, transactions = (session.read.parquet(str(folder / name)) for name in ("photos", "transactions"))
    matched: DataFrame = method(photos, transactions)
    return int(matched.agg(F.count(F.col("transaction_id"))).first()[0])  # type: ignore[index]
