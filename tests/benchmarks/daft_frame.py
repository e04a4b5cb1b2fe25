"""daft_frame: the same work in Daft: from_glob_path, download, then a class in one process per core.

If TensorFlow is installed, Daft imports it in the driver, to check whether a literal is a tensor. So the memory of both
forms includes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from tests.benchmarks.estimator import BATCH_SIZE, ESTIMATE_SCHEMA, estimate_table, load_estimator
from tests.benchmarks.gate import Gate, held_back
from tests.benchmarks.job import Job, Ready, photo_contents
from tests.benchmarks.keras_recipe import KerasAges


class KerasClass:
    """Scales whole photos and predicts with both networks."""

    returned = pa.float64()

    def __init__(self, warm_up_photos: str, gate: Gate) -> None:
        self._ages = KerasAges(threads=1)
        self._ages(photo_contents(warm_up_photos))
        gate.wait()

    def estimate(self, photos: Any) -> Any:
        return self._ages(photos.to_pylist())


class EstimatorClass:
    """Finds the face, cuts it and estimates it."""

    returned = pa.struct(list(ESTIMATE_SCHEMA))

    def __init__(self, warm_up_photos: str, gate: Gate) -> None:
        self._estimator = load_estimator(threads=1)
        self._estimator.estimate(photo_contents(warm_up_photos))
        gate.wait()

    def estimate(self, photos: Any) -> Any:
        return estimate_table(self._estimator, photos.to_pylist()).to_struct_array()


@contextmanager
def keras_class(job: Job) -> Iterator[Ready]:
    with _held_back(job, KerasClass) as ready:
        yield ready


@contextmanager
def estimator_class(job: Job) -> Iterator[Ready]:
    with _held_back(job, EstimatorClass) as ready:
        yield ready


@contextmanager
def _held_back(job: Job, estimating: type[Any]) -> Iterator[Ready]:
    os.environ |= {"DAFT_ANALYTICS_ENABLED": "0", "DO_NOT_TRACK": "true"}
    gate = Gate(job.work)
    with held_back(gate, len(job.cores), lambda: _rows(job, estimating, gate)) as ready:
        yield ready


def _rows(job: Job, estimating: type[Any], gate: Gate) -> int:
    import daft

    workers = len(job.cores)
    returned = daft.DataType.from_arrow_type(estimating.returned)
    # A small set is divided so that each worker gets a batch: without one, Daft would not load the worker's model.
    batch_size = max(1, min(BATCH_SIZE, job.photo_count // workers))

    @daft.cls(max_concurrency=workers, use_process=True)
    class Estimating(estimating):
        @daft.method.batch(return_dtype=returned, batch_size=batch_size)
        def years(self, photos: Any) -> Any:
            return self.estimate(photos)

    photos = daft.from_glob_path(f"{job.photos}/*").select("path")
    contents = photos.with_column("content", photos["path"].download())
    estimates = contents.with_column("estimate", Estimating(job.warm_up_photos, gate).years(contents["content"]))
    return estimates.select("path", "estimate").to_arrow().num_rows
