"""age_inference: the seam between the night and the age model; pyproject.toml lists the few others that import models.

Bytes in, a few numbers out; `inference_stage` is how a task takes its photos through the model, which is loaded once a
worker process. What needs an inference engine is imported in the worker only, since a driver has none.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from jobs.age_mix_estimation import Floats, Replicate, ShiftCalibration, corrected
from jobs.errors import InputError
from jobs.object_store import ObjectStore
from jobs.settings import Settings

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator
    from pyspark.sql import Column

    from jobs.inference_stage import InferenceStage
    from models.age_estimator import AgeEstimator, Engine
    from models.photo_preprocessing import PhotoLimits

LEAST_PRIOR_SHARE = 1e-4
UNFITTED_SMOOTHING_YEARS = 20.0
UNFITTED_TRUSTED_TRANSACTIONS = 250.0
"""Of a model version without a fitted shift calibration, whose faults are larger."""

ESTIMATE_TYPE = (
    "estimate_status string, estimate_reason string, estimated_age_years double, estimated_age_low_years double, "
    "estimated_age_high_years double, under_18_probability double, age_distribution array<float>, face_count bigint, "
    "face_side_pixels bigint, content_sha256 string"
)
SUMMARY_TYPE = (
    "estimated_age_years double, estimated_age_low_years double, estimated_age_high_years double, "
    "under_18_probability double"
)


def photo_age_estimator(settings: Settings, photos_done: Accumulator[int]) -> Callable[..., Column]:
    """Return a UDF: struct of what `InferenceStage.estimates` takes of a photo ► struct ESTIMATE_TYPE, one per photo.

    `photos_done` grows with each task that ends. A task without photos loads no model.
    """

    def estimate(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        first = next(batches, None)
        if first is None:
            return
        for rows in task_stage(settings).estimates(chain([first], batches)):
            photos_done.add(len(rows))
            yield pd.DataFrame(rows, columns=_names(ESTIMATE_TYPE))

    estimate.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    return _udf(estimate, ESTIMATE_TYPE)


def task_stage(settings: Settings) -> InferenceStage:
    """Return the stage of the Spark task that runs this, with the worker's model.

    Raises InputError when a file of the model or the package of its engine is missing here.
    """
    from jobs.inference_stage import InferenceStage

    landing = ObjectStore(settings.landing_uri)
    return InferenceStage(landing, _estimator(settings), settings.max_photo_bytes, _task_cores() or 1)


def summarise_age(settings: Settings) -> Callable[..., Column]:
    """Return a UDF: probabilities by year of age ► struct SUMMARY_TYPE; nulls for null. Starts no network."""

    def summarise(distributions: pd.Series) -> pd.DataFrame:
        known = distributions.notna()
        summaries = pd.DataFrame(np.nan, index=distributions.index, columns=_names(SUMMARY_TYPE))
        if known.any():
            summaries.loc[known] = _summaries(np.stack(distributions[known].to_list()), settings.model_version)
        return summaries

    summarise.__annotations__ = {"distributions": pd.Series, "return": pd.DataFrame}
    return _udf(summarise, SUMMARY_TYPE)


def correct_for_buyers(settings: Settings, age_mix: Sequence[float] | None) -> Callable[..., Column]:
    """Return a UDF: probabilities by year of age ► the same corrected for who buys, as age_mix says; null for null.

    `age_mix` holds the (101,) shares of the buyers' ages, or is None where no buyer has an estimate.
    """
    calibration = replace(shift_calibration(settings.model_version), replicates=())
    mix = None if age_mix is None else np.asarray(age_mix, dtype=np.float64)

    def correct(distributions: pd.Series) -> pd.Series:
        known = distributions.dropna()
        if known.empty:
            return distributions
        if mix is None:
            raise ValueError(f"{len(known)} buyers have an estimate, and age_mixes has no mix of their ages")
        rows = iter(corrected(np.stack(known.to_list()).astype(np.float64), mix, calibration))
        return pd.Series([next(rows) if is_known else None for is_known in distributions.notna()])

    correct.__annotations__ = {"distributions": pd.Series, "return": pd.Series}
    return _udf(correct, "array<double>")


def _udf(function: Callable[..., Any], returned_type: str) -> Callable[..., Column]:
    from pyspark.sql import functions as F

    pandas_udf: Any = F.pandas_udf  # type: ignore[attr-defined]
    return cast("Callable[..., Column]", pandas_udf(function, returned_type))


def check_model(settings: Settings) -> None:
    """Check that the model's and the face finder's files are there and unaltered, before any photo is fetched.

    Raises InputError naming the file or version and the way out.
    """
    from models.weights import WeightsError, finder_path, model_files, openvino_path

    try:
        finder_path()
        model_files(settings.model_version)
        if settings.inference_engine == "openvino":
            openvino_path(settings.model_version)
    except WeightsError as error:
        raise InputError(str(error)) from None


@lru_cache
def shift_calibration(model_version: str) -> ShiftCalibration:
    """Return how distributions of a model version are corrected for the mix of ages in the shops.

    A version without a fitted one is taken at its word, with the ages that it was trained on, and on few transactions.
    Raises InputError when the version is unknown or one of its files is missing or altered.
    """
    from models.weights import WeightsError, shift_calibration_path

    try:
        path = shift_calibration_path(model_version)
        return _unfitted_calibration(model_version) if path is None else _read_calibration(path)
    except WeightsError as error:
        raise InputError(str(error)) from None


def _read_calibration(path: Path) -> ShiftCalibration:
    content = json.loads(path.read_text())
    return ShiftCalibration(
        **_fitted(content),
        smoothing_years=content["smoothing_years"],
        trusted_transactions=content["trusted_transactions"],
        replicates=tuple(Replicate(**_fitted(replicate)) for replicate in content["replicates"]),
        usual_mix=_whole(content["usual_mix"]),
    )


def _fitted(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "exponent": content["exponent"],
        "bias": np.asarray(content["bias"], dtype=np.float64),
        "prior": _whole(content["prior"]),
    }


def _whole(shares: Sequence[float]) -> Floats:
    whole: Floats = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    return whole


def _unfitted_calibration(model_version: str) -> ShiftCalibration:
    from models.model_manifest import read_manifest

    prior = _whole([share + LEAST_PRIOR_SHARE for share in read_manifest(model_version).training.age_prior])
    return ShiftCalibration(1.0, np.zeros(len(prior)), prior, UNFITTED_SMOOTHING_YEARS, UNFITTED_TRUSTED_TRANSACTIONS)


def estimate_photo_files(paths: list[Path], settings: Settings) -> Iterator[dict[str, object]]:
    """Estimate photos on disk with the code of the night, one dict per photo."""
    from jobs.inference_stage import estimate_row, read_photo

    estimator = _estimator(settings)
    for path in paths:
        fetched = read_photo(path.read_bytes, str(path))
        (estimate,) = estimator.estimate_faces([estimator.try_read_face(fetched.content)])
        row = estimate_row(estimate) | {"content_sha256": fetched.sha256}
        del row["age_distribution"]
        origin = {"model_version": settings.model_version, "inference_engine": settings.inference_engine}
        yield {"photo": str(path)} | row | origin


def _summaries(distributions: np.ndarray, model_version: str) -> np.ndarray:
    from models.age_distribution import probability_under, summarise
    from models.model_manifest import read_manifest

    rounded = distributions.astype(np.float64)
    exact = rounded / rounded.sum(axis=1, keepdims=True)
    manifest = read_manifest(model_version)
    summary = summarise(exact, manifest.interval_mass, manifest.young_adult_correction)
    return np.column_stack([*astuple(summary), probability_under(exact, 18)])


def _estimator(settings: Settings) -> AgeEstimator:
    limits = _limits(settings)
    return _load_estimator(settings.model_version, settings.inference_engine, limits, _task_cores())


@lru_cache(maxsize=1)
def _load_estimator(model_version: str, engine: Engine, limits: PhotoLimits, threads: int | None) -> AgeEstimator:
    from models.age_estimator import AgeEstimator
    from models.weights import WeightsError

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
    """Cores of the Spark task that runs this, so that tasks side by side do not fight; None outside of Spark."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.cpus() if context else None


def _limits(settings: Settings) -> PhotoLimits:
    from models.photo_preprocessing import PhotoLimits

    return PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)


def _names(struct_type: str) -> list[str]:
    return [field.split()[0] for field in struct_type.split(", ")]
