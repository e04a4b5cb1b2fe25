"""age_inference: the seam between the night and the age model. With sample_faces, all that imports models.

Bytes in, a few numbers out: photos are fetched and decoded in threads of the Python worker while the network runs
on those before; the model is loaded once per worker process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from jobs.errors import InputError
from jobs.object_store import ObjectStore
from jobs.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import Column

    from models.age_estimator import AgeEstimate, AgeEstimator
    from models.photo_preprocessing import PhotoLimits

FETCH_THREADS = 8
BATCH_SIZE = 32
ESTIMATE_TYPE = (
    "estimate_status string, estimate_reason string, estimated_age_years double, estimated_age_low_years double, "
    "estimated_age_high_years double, under_18_probability double, age_distribution array<float>, face_count bigint, "
    "face_side_pixels bigint, content_sha256 string"
)
SUMMARY_TYPE = (
    "estimated_age_years double, estimated_age_low_years double, estimated_age_high_years double, "
    "under_18_probability double"
)


def photo_age_estimator(settings: Settings) -> Callable[..., Column]:
    """Return a UDF: struct of photo_key, etag, size_bytes, key_problem ► struct ESTIMATE_TYPE, one per photo."""

    def estimate(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        estimator = _estimator(settings.model_version, _limits(settings))
        landing = ObjectStore(settings.landing_uri)
        with ThreadPoolExecutor(FETCH_THREADS) as pool:
            for photos, fetched in _fetched_ahead(batches, landing, estimator, settings, pool):
                rows = _estimate_rows(estimator, [future.result() for future in fetched])
                yield pd.DataFrame(rows, columns=_names(ESTIMATE_TYPE), index=photos.index)

    estimate.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.DataFrame]}
    return _udf(estimate, ESTIMATE_TYPE)


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


def _udf(function: Callable[..., Any], returned_type: str) -> Callable[..., Column]:
    from pyspark.sql import functions as F

    pandas_udf: Any = F.pandas_udf  # type: ignore[attr-defined]
    return cast("Callable[..., Column]", pandas_udf(function, returned_type))


def check_model(settings: Settings) -> None:
    """Check that the model's and the face finder's files are there and unaltered, before any photo is fetched.

    Raises InputError naming the file or version and the way out.
    """
    from models.weights import WeightsError, finder_path, model_files

    try:
        model_files(settings.model_version)
        finder_path()
    except WeightsError as error:
        raise InputError(str(error)) from None


def estimate_photo_files(paths: list[Path], settings: Settings) -> Iterator[dict[str, object]]:
    """Estimate photos on disk with the code of the night, one dict per photo."""
    estimator = _estimator(settings.model_version, _limits(settings))
    for start in range(0, len(paths), BATCH_SIZE):
        batch = paths[start : start + BATCH_SIZE]
        decoded = [_decoded(estimator, path.read_bytes, str(path)) for path in batch]
        for path, row in zip(batch, _estimate_rows(estimator, decoded), strict=True):
            del row["age_distribution"]
            yield {"photo": str(path)} | row | {"model_version": settings.model_version}


class Decoded:
    """A photo ready for the network, or why it is not; and the hash of its bytes."""

    def __init__(self, face_or_problem: Any, content_sha256: str | None) -> None:
        self.face_or_problem = face_or_problem
        self.content_sha256 = content_sha256


def _fetched_ahead(
    batches: Iterator[pd.DataFrame],
    landing: ObjectStore,
    estimator: AgeEstimator,
    settings: Settings,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[pd.DataFrame, list[Future[Decoded]]]]:
    """Yield each batch once the next one is being fetched and decoded."""
    waiting: tuple[pd.DataFrame, list[Future[Decoded]]] | None = None
    for photos in batches:
        fetched = [
            pool.submit(_fetch_and_decode, photo, landing, estimator, settings.max_photo_bytes)
            for photo in photos.itertuples(index=False)
        ]
        if waiting:
            yield waiting
        waiting = photos, fetched
    if waiting:
        yield waiting


def _fetch_and_decode(photo: Any, landing: ObjectStore, estimator: AgeEstimator, max_photo_bytes: int) -> Decoded:
    from models.photo_preprocessing import UnusablePhotoError

    if photo.key_problem:
        return Decoded(UnusablePhotoError("unreadable_key", photo.key_problem), None)
    if photo.size_bytes > max_photo_bytes:
        reason = f"{photo.size_bytes} bytes, the limit is {max_photo_bytes}"
        return Decoded(UnusablePhotoError("too_large", reason), None)
    return _decoded(estimator, lambda: landing.read(photo.photo_key), photo.photo_key)


def _decoded(estimator: AgeEstimator, read: Callable[[], bytes], name: str) -> Decoded:
    from models.photo_preprocessing import UnusablePhotoError

    try:
        content = read()
    except FileNotFoundError:
        return Decoded(UnusablePhotoError("missing", f"photo '{name}' is no longer there"), None)
    except (OSError, InputError) as error:
        return Decoded(UnusablePhotoError("unreadable_object", f"photo '{name}' cannot be read: {error}"), None)
    content_sha256 = hashlib.sha256(content).hexdigest()
    try:
        return Decoded(estimator.read_face(content), content_sha256)
    except UnusablePhotoError as unusable:
        return Decoded(unusable, content_sha256)


def _estimate_rows(estimator: AgeEstimator, decoded: list[Decoded]) -> list[dict[str, object]]:
    estimates = estimator.estimate_faces([photo.face_or_problem for photo in decoded])
    return [
        _estimate_row(estimate) | {"content_sha256": photo.content_sha256}
        for estimate, photo in zip(estimates, decoded, strict=True)
    ]


def _estimate_row(estimate: AgeEstimate) -> dict[str, object]:
    fields = asdict(estimate)
    distribution = estimate.age_distribution
    under_18 = None if distribution is None else min(1.0, float(sum(distribution[:18])))
    return fields | {
        "estimated_age_low_years": fields.pop("age_interval_low_years"),
        "estimated_age_high_years": fields.pop("age_interval_high_years"),
        "under_18_probability": under_18,
    }


def _summaries(distributions: np.ndarray, model_version: str) -> np.ndarray:
    from models.age_distribution import age_interval_years, expected_age_years, probability_under
    from models.model_manifest import read_manifest

    rounded = distributions.astype(np.float64)
    exact = rounded / rounded.sum(axis=1, keepdims=True)
    low, high = age_interval_years(exact, read_manifest(model_version).interval_mass)
    return np.column_stack([expected_age_years(exact), low, high, probability_under(exact, 18)])


@lru_cache(maxsize=1)
def _estimator(model_version: str, limits: PhotoLimits) -> AgeEstimator:
    from models.age_estimator import AgeEstimator
    from models.weights import WeightsError

    try:
        return AgeEstimator.load(model_version, batch_size=BATCH_SIZE, threads=_task_cores(), limits=limits)
    except WeightsError as error:
        raise InputError(str(error)) from None


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
