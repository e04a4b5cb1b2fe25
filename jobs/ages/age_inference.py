"""age_inference: runs the age model in Spark tasks. Nearly all use of `models` by the nights passes through here.

`inference_stage` takes a task's photos through the model, which is loaded once per worker process. Code that needs an
inference engine is imported in the worker only, because the driver's machine may have none. pyproject.toml lists the
few other modules that may import `models`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import InputError
from jobs.warehouse.object_store import ObjectStore

if TYPE_CHECKING:
    from jobs.ages.inference_stage import InferenceStage
    from models.serving.age_estimator import AgeEstimator, Engine
    from models.serving.photo_preprocessing import PhotoLimits


@dataclass(frozen=True)
class PhotoInference:
    """The settings by which photos are estimated: where they lie, by which model and engine, and what is too large."""

    landing_uri: str
    model_version: str
    inference_engine: Engine
    max_photo_bytes: int
    max_photo_pixels: int
    photo_stretch: Mapping[str, float]


def task_stage(inference: PhotoInference) -> InferenceStage:
    """Return the stage of the Spark task that calls this, with the worker's model.

    Raises InputError if a file of the model, or the package of its engine, is missing on this machine.
    """
    from jobs.ages.inference_stage import InferenceStage

    landing = ObjectStore(inference.landing_uri)
    return InferenceStage(landing, _estimator(inference), inference.max_photo_bytes, _task_cores() or 1)


def check_model(model_version: str, inference_engine: Engine) -> None:
    """Check that the model's and the face finder's files are there and unaltered, before any photo is fetched.

    Raises InputError that names the file or version, and how to fix it.
    """
    from models.serving.model_versions import WeightsError, finder_path, model_files, openvino_path

    try:
        finder_path()
        model_files(model_version)
        if inference_engine == "openvino":
            openvino_path(model_version)
    except WeightsError as error:
        raise InputError(str(error)) from None


def computes_int8_as_floats(inference_engine: Engine) -> bool:
    """Say whether int8 networks take twice the time here, because the processor cannot add 8-bit products exactly."""
    if inference_engine != "openvino":
        return False
    from models.serving.openvino_engine import adds_int8_exactly

    return not adds_int8_exactly()


def estimate_photo_files(paths: list[Path], inference: PhotoInference) -> Iterator[dict[str, object]]:
    """Estimate photos on disk with the same code as the night, one dict per photo."""
    from jobs.ages.inference_stage import estimate_row, read_photo

    estimator = _estimator(inference)
    for path in paths:
        fetched = read_photo(path.read_bytes, str(path))
        (estimate,) = estimator.estimate_faces([estimator.try_read_face(fetched.content)])
        row = estimate_row(estimate) | {"content_sha256": fetched.sha256}
        del row["age_distribution"]
        origin = {"model_version": inference.model_version, "inference_engine": inference.inference_engine}
        yield {"photo": str(path)} | row | origin


def _estimator(inference: PhotoInference) -> AgeEstimator:
    from models.serving.photo_preprocessing import PhotoLimits

    limits = PhotoLimits(max_bytes=inference.max_photo_bytes, max_pixels=inference.max_photo_pixels)
    return _load_estimator(inference.model_version, inference.inference_engine, limits, _task_cores())


# One model per worker process: Spark reuses its Python workers, so later tasks skip the load.
@lru_cache(maxsize=1)
def _load_estimator(model_version: str, engine: Engine, limits: PhotoLimits, threads: int | None) -> AgeEstimator:
    from models.serving.age_estimator import AgeEstimator
    from models.serving.model_versions import WeightsError

    try:
        estimator = AgeEstimator.load(model_version, engine, threads=threads, limits=limits)
        gc.freeze()  # Spark's worker collects garbage after each task, and all that is loaded would be walked each time
        return estimator
    except WeightsError as error:
        raise InputError(str(error)) from None
    except ModuleNotFoundError as error:
        raise InputError(
            f"inference engine '{engine}' needs the package '{error.name}', which is not installed here: install it on "
            f"every executor, or set CHECKOUT_AGES_INFERENCE_ENGINE to an installed engine"
        ) from None


def _task_cores() -> int | None:
    """Return the cores of the calling Spark task, so that parallel tasks do not compete; None outside of Spark."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.cpus() if context else None
