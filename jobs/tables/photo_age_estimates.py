"""photo_age_estimates: the estimated age of the person in each photo, or the reason why there is none.

An estimate of an earlier run of the day is reused if the photo, model version, engine, photo checks and stretch are the
same. So another run of a day infers only new photos. `CHECKOUT_AGES_REUSE_ESTIMATES=false` infers all of them again.
"""

from __future__ import annotations

import logging
from datetime import date

from pyspark.accumulators import Accumulator
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.ages.age_columns import photo_age_estimator
from jobs.ages.age_inference import PhotoInference, check_model
from jobs.ages.progress import reported_progress
from jobs.ages.till_numbers import number_of_till
from jobs.landing.deleted_photos import refuse_if_photos_were_deleted
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from models.serving.photo_statuses import LASTING_STATUSES, PHOTO_CHECKS_VERSION

log = logging.getLogger(__name__)

PHOTOS_PER_TASK = 256
"""Photos that a task should have. With more, a retry repeats more work and slots idle longer at the end."""
FEWEST_PHOTOS_PER_TASK = 64
"""A smaller task is not worth a model load on one more slot, which costs as much as some dozens of photos."""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    check_model(settings.model_version, settings.inference_engine)
    inference = settings.part(PhotoInference)
    photos = warehouse.read(CHECKOUT_PHOTOS, business_date)
    published = warehouse.read_published(PHOTO_AGE_ESTIMATES, business_date)
    known = reusable_estimates(photos, published, inference) if published and settings.reuse_estimates else None
    # Anti join: what has no reusable estimate is inferred.
    new = photos.join(known, "photo_key", how="left_anti") if known else photos
    new_count = new.count()
    photos_done = warehouse.spark.sparkContext.accumulator(0)
    with reported_progress(photos_done, new_count):
        estimates = photo_age_estimates(dealt_to_tasks(new, new_count), inference, warehouse.run_id, photos_done)
        warehouse.stage(PHOTO_AGE_ESTIMATES, business_date, estimates.unionByName(known) if known else estimates)
    # Checked again after reading: `retain` may have deleted photos meanwhile, and they would all be `missing`.
    refuse_if_photos_were_deleted(warehouse, business_date, ObjectStore(settings.landing_uri))
    photo_count = warehouse.staging.staged(PHOTO_AGE_ESTIMATES, business_date).row_count
    log.info("%s photos examined, %s estimates reused from earlier runs of the day", new_count, photo_count - new_count)


def photo_age_estimates(
    photos: DataFrame, inference: PhotoInference, run_id: str, photos_done: Accumulator[int]
) -> DataFrame:
    """Fetch, decode and estimate each photo in the Python workers; only numbers and reasons come back."""
    estimate = photo_age_estimator(inference, photos_done)
    stretched = photos.withColumn("photo_stretch", number_of_till(inference.photo_stretch, otherwise=1.0))
    looked_at = F.struct("photo_key", "etag", "size_bytes", "key_problem", "photo_stretch")
    estimated = stretched.withColumn("estimate", estimate(looked_at))
    return estimated.select(
        "photo_key",
        "etag",
        "estimate.*",
        F.lit(inference.inference_engine).alias("inference_engine"),
        F.lit(PHOTO_CHECKS_VERSION).alias("photo_checks_version"),
        "photo_stretch",
        F.lit(run_id).alias("inferred_run_id"),
    )


def reusable_estimates(photos: DataFrame, published: DataFrame, inference: PhotoInference) -> DataFrame:
    """Return the published rows that a new look at the same photo, with these settings, would give again."""
    is_of_the_model = F.col("model_version") == inference.model_version
    is_of_the_engine = F.col("inference_engine") == inference.inference_engine
    is_of_the_checks = F.col("photo_checks_version") == PHOTO_CHECKS_VERSION
    is_lasting = F.col("estimate_status").isin(*LASTING_STATUSES)
    lasting = published.where(is_of_the_model & is_of_the_engine & is_of_the_checks & is_lasting)
    as_now = photos.withColumn("photo_stretch", number_of_till(inference.photo_stretch, otherwise=1.0))
    # The etag is part of the join, so a photo that was replaced under its key is inferred again.
    known = lasting.join(as_now, ["photo_key", "etag", "photo_stretch"], how="left_semi")
    return known.drop("model_version", "run_id")


def dealt_to_tasks(photos: DataFrame, photo_count: int) -> DataFrame:
    """Spread photos evenly over tasks. Photos of equal byte size go to the same task: duplicates are inferred once."""
    context = photos.sparkSession.sparkContext
    slots = max(1, context.defaultParallelism // int(context.getConf().get("spark.task.cpus", "1")))
    tasks = _task_count(photo_count, slots)
    # rank gives photos of equal size the same number, and so the same task. In order of the size itself, one task would
    # get all the large photos; the hash mixes them.
    photos_before = F.rank().over(Window.orderBy(F.xxhash64("size_bytes"))) - 1
    task = task_number(photos_before, tasks, photo_count)
    return photos.withColumn("task", task).repartitionById(tasks, "task").drop("task")


def task_number(photos_before: Column, tasks: int, photo_count: int) -> Column:
    """Return the task of a photo that so many photos come before."""
    # As long numbers: from some 700,000 photos on the product is beyond Spark's int.
    return F.floor(photos_before.cast("long") * tasks / max(1, photo_count)).cast("int")


def _task_count(photo_count: int, slots: int) -> int:
    """Return a number of tasks that fills whole rounds of task slots, so that no slot is idle at the end.

    Tasks are small, so that a retry costs little. Loading the model costs a slot as much as some dozens of photos, so a
    small day has fewer tasks than slots.
    """
    rounds = max(1, round(photo_count / (slots * PHOTOS_PER_TASK)))
    return max(1, min(slots * rounds, photo_count // FEWEST_PHOTOS_PER_TASK))
