"""photo_age_estimates: how old the person in each photo looks, or why that cannot be said. Ten in, ten out."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import tables
from jobs.age_inference import check_model, photo_age_estimator
from jobs.settings import Settings
from jobs.warehouse import Warehouse

PHOTOS_PER_TASK = 512
FEWEST_PHOTOS_PER_TASK = 128


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    check_model(settings)
    photos = warehouse.read(tables.CHECKOUT_PHOTOS, business_date)
    photo_count = warehouse.staged(tables.CHECKOUT_PHOTOS, business_date).row_count
    spread = photos.repartition(_task_count(photo_count, warehouse.spark.sparkContext.defaultParallelism))
    warehouse.stage(tables.PHOTO_AGE_ESTIMATES, business_date, photo_age_estimates(spread, settings))


def photo_age_estimates(photos: DataFrame, settings: Settings) -> DataFrame:
    """Fetch, decode and estimate each photo in the Python workers; only numbers and reasons come back."""
    estimate = photo_age_estimator(settings)
    estimated = photos.withColumn("estimate", estimate(F.struct("photo_key", "etag", "size_bytes", "key_problem")))
    return estimated.select("photo_key", "etag", "estimate.*", F.lit(settings.model_version).alias("model_version"))


def _task_count(photo_count: int, slots: int) -> int:
    """Whole rounds of all task slots, so that none idles at the end, in tasks of some hundred photos.

    Starting the network costs a task slot what some hundred photos cost, so a small day does not start it twice.
    """
    rounds = max(1, round(photo_count / (slots * PHOTOS_PER_TASK)))
    return max(1, min(slots * rounds, photo_count // FEWEST_PHOTOS_PER_TASK))
