"""photo_age_estimates: how old the person in each photo looks, or why that cannot be said. Ten in, ten out.

A photo of which an earlier run of the day has an estimate by the same model version keeps it, unless the object was
replaced since: a day that is run again infers what is new. `CHECKOUT_AGES_REUSE_ESTIMATES=false` infers all again.
"""

from __future__ import annotations

import logging
from datetime import date

from pyspark.accumulators import Accumulator
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs import tables
from jobs.age_inference import check_model, photo_age_estimator
from jobs.object_store import ObjectStore
from jobs.progress import reported_progress
from jobs.retain import refuse_if_photos_were_deleted
from jobs.settings import Settings
from jobs.warehouse import Warehouse

log = logging.getLogger(__name__)

PHOTOS_PER_TASK = 256
FEWEST_PHOTOS_PER_TASK = 64

LASTING_STATUSES = (
    *("estimated", "no_face", "face_too_small", "face_too_blurred"),
    *("empty", "too_small", "not_an_image", "truncated"),
)
"""What the same bytes will always come to; anything else may pass, or hangs on the settings."""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    check_model(settings)
    photos = warehouse.read(tables.CHECKOUT_PHOTOS, business_date)
    published = warehouse.read_published(tables.PHOTO_AGE_ESTIMATES, business_date)
    known = taken_over(photos, published, settings) if published and settings.reuse_estimates else None
    new = photos.join(known, "photo_key", how="left_anti") if known else photos
    new_count = new.count()
    photos_done = warehouse.spark.sparkContext.accumulator(0)
    with reported_progress(photos_done, new_count):
        estimates = photo_age_estimates(spread(new, new_count), settings, warehouse.run_id, photos_done)
        warehouse.stage(tables.PHOTO_AGE_ESTIMATES, business_date, estimates.unionByName(known) if known else estimates)
    refuse_if_photos_were_deleted(warehouse, business_date, ObjectStore(settings.landing_uri))
    photo_count = warehouse.staged(tables.PHOTO_AGE_ESTIMATES, business_date).row_count
    log.info("%s photos looked at, %s taken over from earlier runs of the day", new_count, photo_count - new_count)


def photo_age_estimates(photos: DataFrame, settings: Settings, run_id: str, photos_done: Accumulator[int]) -> DataFrame:
    """Fetch, decode and estimate each photo in the Python workers; only numbers and reasons come back."""
    estimate = photo_age_estimator(settings, photos_done)
    estimated = photos.withColumn("estimate", estimate(F.struct("photo_key", "etag", "size_bytes", "key_problem")))
    return estimated.select(
        "photo_key",
        "etag",
        "estimate.*",
        F.lit(settings.model_version).alias("model_version"),
        F.lit(settings.inference_engine).alias("inference_engine"),
        F.lit(run_id).alias("inferred_run_id"),
    )


def taken_over(photos: DataFrame, published: DataFrame, settings: Settings) -> DataFrame:
    """Return the published rows that hold for a photo as it is now: same key, content tag, model version and engine."""
    is_of_the_model = F.col("model_version") == settings.model_version
    is_of_the_engine = F.col("inference_engine") == settings.inference_engine
    is_still_too_many_pixels = (F.col("estimate_status") == "too_many_pixels") & F.col("estimate_reason").endswith(
        f" the limit is {settings.max_photo_pixels} in all"
    )
    is_lasting = F.col("estimate_status").isin(*LASTING_STATUSES) | is_still_too_many_pixels
    lasting = published.where(is_of_the_model & is_of_the_engine & is_lasting)
    return lasting.join(photos, ["photo_key", "etag"], how="left_semi").drop("run_id")


def spread(photos: DataFrame, photo_count: int) -> DataFrame:
    """Deal photos out to tasks in equal numbers; those of the same size in bytes, so of the same content, to one."""
    context = photos.sparkSession.sparkContext
    slots = max(1, context.defaultParallelism // int(context.getConf().get("spark.task.cpus", "1")))
    tasks = _task_count(photo_count, slots)
    photos_before = F.rank().over(Window.orderBy(F.xxhash64("size_bytes"))) - 1
    task = F.floor(photos_before * tasks / max(1, photo_count)).cast("int")
    return photos.withColumn("task", task).repartitionById(tasks, "task").drop("task")


def _task_count(photo_count: int, slots: int) -> int:
    """Whole rounds of all task slots, so that none idles at the end, in tasks so small that a retry costs little.

    Loading the model costs a task slot what some dozens of photos cost, so a small day does not load it twice.
    """
    rounds = max(1, round(photo_count / (slots * PHOTOS_PER_TASK)))
    return max(1, min(slots * rounds, photo_count // FEWEST_PHOTOS_PER_TASK))
