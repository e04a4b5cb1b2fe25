"""age_inference: the seam between the night and the age model; pyproject.toml lists the few others that import models.

Bytes in, a few numbers out. `inference_stage` takes a task's photos through the model, which is loaded once per worker
process. Code that needs an inference engine is imported in the worker only, because a driver has none.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from jobs.ages.age_columns import field_names, vector_udf
from jobs.errors import InputError
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator
    from pyspark.sql import Column

    from jobs.ages.inference_stage import InferenceStage
    from models.serving.age_estimator import AgeEstimator, Engine
    from models.serving.photo_preprocessing import PhotoLimits

ESTIMATE_TYPE = (
    "estimate_status string, estimate_reason string, estimated_age_years double, estimated_age_low_years double, "
    "estimated_age_high_years double, under_18_probability double, age_distribution array<float>, face_count bigint, "
    "face_side_pixels bigint, content_sha256 string"
)


def photo_age_estimator(settings: Settings, photos_done: Accumulator[int]) -> Callable[..., Column]:
    """Return a UDF: struct of the columns that `InferenceStage.estimates` takes ► struct ESTIMATE_TYPE, one per photo.

    `photos_done` grows when a task ends. A task without photos loads no model.
    """

    def estimate(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        first = next(batches, None)
        if first is None:
            return
        for rows in task_stage(settings).estimates(chain([first], batches)):
            photos_done.add(len(rows))
            yield pd.DataFrame(rows, columns=field_names(ESTIMATE_TYPE))

    # pandas_udf needs the types themselves; the future import turns annotations into strings.
    estimate.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    return vector_udf(estimate, ESTIMATE_TYPE)


def task_stage(settings: Settings) -> InferenceStage:
    """Return the stage of the Spark task that calls this, with the worker's model.

    Raises InputError when a file of the model or the package of its engine is missing here.
    """
    from jobs.ages.inference_stage import InferenceStage

    landing = ObjectStore(settings.landing_uri)
    return InferenceStage(landing, _estimator(settings), settings.max_photo_bytes, _task_cores() or 1)


def check_model(settings: Settings) -> None:
    """Check that the model's and the face finder's files are there and unaltered, before any photo is fetched.

    Raises InputError naming the file or version and the way out.
    """
    from models.serving.model_versions import WeightsError, finder_path, model_files, openvino_path

    try:
        finder_path()
        model_files(settings.model_version)
        if settings.inference_engine == "openvino":
            openvino_path(settings.model_version)
    except WeightsError as error:
        raise InputError(str(error)) from None


def estimate_photo_files(paths: list[Path], settings: Settings) -> Iterator[dict[str, object]]:
    """Estimate photos on disk with the same code as the night, one dict per photo."""
    from jobs.ages.inference_stage import estimate_row, read_photo

    estimator = _estimator(settings)
    for path in paths:
        fetched = read_photo(path.read_bytes, str(path))
        (estimate,) = estimator.estimate_faces([estimator.try_read_face(fetched.content)])
        row = estimate_row(estimate) | {"content_sha256": fetched.sha256}
        del row["age_distribution"]
        origin = {"model_version": settings.model_version, "inference_engine": settings.inference_engine}
        yield {"photo": str(path)} | row | origin


def _estimator(settings: Settings) -> AgeEstimator:
    limits = _limits(settings)
    return _load_estimator(settings.model_version, settings.inference_engine, limits, _task_cores())


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
            f"every executor, or set CHECKOUT_AGES_INFERENCE_ENGINE to an engine that is"
        ) from None


def _task_cores() -> int | None:
    """Return the cores of the calling Spark task, so that parallel tasks do not compete; None outside of Spark."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.cpus() if context else None


def _limits(settings: Settings) -> PhotoLimits:
    from models.serving.photo_preprocessing import PhotoLimits

    return PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)
