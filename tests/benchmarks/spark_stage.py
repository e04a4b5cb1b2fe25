"""spark_stage: run the nightly stage photo_age_estimates, from a folder or prefix of photos to rows in Arrow."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.ages.age_inference import PhotoInference
from jobs.local_spark import local_spark_environment
from jobs.settings import read_settings
from jobs.spark import spark_session
from jobs.tables.photo_age_estimates import dealt_to_tasks, photo_age_estimates
from jobs.warehouse.object_store import ObjectStore
from tests.benchmarks.estimator import VERSION_BEFORE
from tests.benchmarks.job import Job, Ready


@contextmanager
def spark_stage(job: Job) -> Iterator[Ready]:
    """Run the stage with one task slot per core. As in (a), it has processed the timed photos once before."""
    with local_spark(len(job.cores)):
        session = spark_session("benchmark")
        for photos in (job.warm_up_photos, job.photos):
            _estimates(session, photos)
        yield Ready(lambda: _estimates(session, job.photos).num_rows)


@contextmanager
def spark_stage_before(job: Job) -> Iterator[Ready]:
    """Run the stage with the previous model version."""
    os.environ["CHECKOUT_AGES_MODEL_VERSION"] = VERSION_BEFORE
    with spark_stage(job) as ready:
        yield ready


@contextmanager
def growing_stage(job: Job) -> Iterator[Ready]:
    """Run the stage with the slots that the options name, on the photos that each turn names.

    Facts: seconds until the session is ready, and from then until a fresh worker has its first estimate.
    """
    started = time.perf_counter()
    with local_spark(job.options["slots"]):
        session = spark_session("benchmark")
        session.range(1).toArrow()
        session_seconds = time.perf_counter() - started
        first = _estimates(session, job.warm_up_photos, photo_count=1)
        cold_start_seconds = time.perf_counter() - started - session_seconds
        statuses = _statuses(_estimates(session, job.warm_up_photos))
        facts = {
            "session_seconds": session_seconds,
            "cold_start_seconds": cold_start_seconds,
            "first_status": first["estimate_status"][0].as_py(),
            "warm_up_statuses": statuses,
        }
        yield Ready(lambda photos: _estimates(session, photos).num_rows, facts)


@contextmanager
def local_spark(slots: int, driver_memory: str = "1g") -> Iterator[None]:
    """Give the session that starts in the block `slots` task slots and a JVM of this memory; stop it at the end."""
    os.environ |= local_spark_environment(os.environ)
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{slots}] --driver-memory {driver_memory} pyspark-shell"
    try:
        yield
    finally:
        if session := SparkSession.getActiveSession():
            session.stop()


def _estimates(session: SparkSession, photos: str, photo_count: int | None = None) -> pa.Table:
    """List the photos, estimate them in whole rounds of all task slots, and fetch all columns."""
    landing_uri = photos if "://" in photos else Path(photos).absolute().as_uri()
    settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=f"{landing_uri}-unused")
    listed = list(ObjectStore(settings.landing_uri).list())[:photo_count]
    columns = {
        "photo_key": [entry.key for entry in listed],
        "etag": [entry.etag for entry in listed],
        "size_bytes": [entry.size_bytes for entry in listed],
        "key_problem": pa.nulls(len(listed), pa.string()),
    }
    photo_rows = dealt_to_tasks(session.createDataFrame(pa.table(columns)), len(listed))
    done = session.sparkContext.accumulator(0)
    return photo_age_estimates(photo_rows, settings.part(PhotoInference), "benchmark", done).toArrow()


def _statuses(estimates: pa.Table) -> dict[str, int]:
    return dict(Counter(estimates["estimate_status"].to_pylist()))
