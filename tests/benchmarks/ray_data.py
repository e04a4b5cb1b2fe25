"""ray_data: the same work in Ray Data: read_binary_files, then map_batches of a class in a pool of actors."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.estimator import BATCH_SIZE, estimate_table, load_estimator
from tests.benchmarks.gate import Gate, held_back
from tests.benchmarks.job import Job, Ready, photo_contents
from tests.benchmarks.keras_recipe import KerasAges

OBJECT_STORE_BYTES = 512 * 1024 * 1024
ACTOR_CPUS = 0.25
"""Ray only counts these and does not enforce them. The rest is for reading: with 1, actors would wait for ever."""


class KerasActor:
    """Scales whole photos and predicts with both networks."""

    def __init__(self, warm_up_photos: str, gate: Gate) -> None:
        self._ages = KerasAges(threads=1)
        self._ages(photo_contents(warm_up_photos))
        gate.wait()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"path": batch["path"], "estimated_age_years": self._ages(batch["bytes"])}


class EstimatorActor:
    """Finds the face, cuts it and estimates it."""

    def __init__(self, warm_up_photos: str, gate: Gate) -> None:
        self._estimator = load_estimator(threads=1)
        self._estimator.estimate(photo_contents(warm_up_photos))
        gate.wait()

    def __call__(self, batch: dict[str, np.ndarray]) -> pa.Table:
        estimates = estimate_table(self._estimator, list(batch["bytes"]))
        return estimates.append_column("path", pa.array(batch["path"].tolist()))


@contextmanager
def keras_actors(job: Job) -> Iterator[Ready]:
    with _actors(job, KerasActor) as ready:
        yield ready


@contextmanager
def estimator_actors(job: Job) -> Iterator[Ready]:
    with _actors(job, EstimatorActor) as ready:
        yield ready


@contextmanager
def _actors(job: Job, actor: type[Any]) -> Iterator[Ready]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        num_cpus=len(job.cores),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    gate = Gate(job.work)
    try:
        with held_back(gate, len(job.cores), lambda: _rows(job, actor, gate)) as ready:
            yield ready
    finally:
        ray.shutdown()


def _rows(job: Job, actor: type[Any], gate: Gate) -> int:
    import ray

    estimates = ray.data.read_binary_files(job.photos, include_paths=True).map_batches(
        actor,
        fn_constructor_args=(job.warm_up_photos, gate),
        compute=ray.data.ActorPoolStrategy(size=len(job.cores)),
        num_cpus=ACTOR_CPUS,
        batch_size=BATCH_SIZE,
    )
    return sum(len(batch) for batch in estimates.iter_batches(batch_size=None, batch_format="pandas"))
