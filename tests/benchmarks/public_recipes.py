"""public_recipes: estimate photos like the documentation of Spark and Keras recommends.

One recipe is `predict_batch_udf` over binary files, decoded in the function that predicts: then only the files' bytes
and one number per photo pass between Java and Python. The other is a loop over files around `model.predict`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType

from tests.benchmarks.estimator import BATCH_SIZE
from tests.benchmarks.job import Job, Ready, batches, photo_files
from tests.benchmarks.keras_recipe import KerasAges
from tests.benchmarks.spark_stage import local_spark


@contextmanager
def predict_batch_udf_same_answer(job: Job) -> Iterator[Ready]:
    with _predict_batch_udf(job, whole=True) as ready:
        yield ready


@contextmanager
def predict_batch_udf_one_network(job: Job) -> Iterator[Ready]:
    with _predict_batch_udf(job, whole=False) as ready:
        yield ready


@contextmanager
def predict_loop_same_answer(job: Job) -> Iterator[Ready]:
    yield _predict_loop(job, whole=True)


@contextmanager
def predict_loop_one_network(job: Job) -> Iterator[Ready]:
    yield _predict_loop(job, whole=False)


@contextmanager
def _predict_batch_udf(job: Job, whole: bool) -> Iterator[Ready]:
    def make_predict() -> Callable[[np.ndarray], np.ndarray]:
        return KerasAges(threads=1, whole=whole)

    with local_spark(len(job.cores)):
        session = SparkSession.builder.config("spark.ui.enabled", "false").getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        estimated_age_years = predict_batch_udf(make_predict, return_type=DoubleType(), batch_size=BATCH_SIZE)

        def run(photos: str = job.photos) -> int:
            files = session.read.format("binaryFile").load(photos)
            return files.select("path", estimated_age_years("content").alias("years")).toArrow().num_rows

        run(job.warm_up_photos)
        yield Ready(run)


def _predict_loop(job: Job, whole: bool) -> Ready:
    ages = KerasAges(threads=len(job.cores), whole=whole)

    def run(photos: str = job.photos) -> int:
        files = photo_files(photos)
        estimated = [ages([path.read_bytes() for path in files[batch]]) for batch in batches(len(files), BATCH_SIZE)]
        return len(np.concatenate(estimated))

    run(job.warm_up_photos)
    return Ready(run)
