"""age_inference: the seam between the night and the age model. With sample_faces, all that imports models.

Bytes in, a few numbers out. In the Python worker three things go on at a time: photos are fetched by some threads,
decoded and searched for faces by as many threads as the task has cores, and those before go through the network; on a
single core the last two take turns. The model is loaded once per worker process. Photos of the same content in a task
are looked at once.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from functools import lru_cache
from itertools import chain
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd

from jobs.age_mix_estimation import Floats, Replicate, ShiftCalibration, corrected
from jobs.errors import InputError, ReplacedError, StoreError, UnusableKeyError
from jobs.object_store import ObjectStore
from jobs.settings import Settings

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator
    from pyspark.sql import Column

    from models.age_estimator import AgeEstimate, AgeEstimator, Engine
    from models.face_photo import FacePhoto
    from models.photo_preprocessing import PhotoLimits, UnusablePhotoError

FETCH_THREADS = 8
PHOTOS_AHEAD = 64
BYTES_AHEAD = 64 * 1024 * 1024
"""Photos that are fetched, or held as faces, before those that the network runs on: a worker's memory hangs on it."""

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
    """Return a UDF: struct of photo_key, etag, size_bytes, key_problem ► struct ESTIMATE_TYPE, one per photo.

    `photos_done` grows with each task that ends. A task without photos loads no model.
    """

    def estimate(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        first = next(batches, None)
        if first is None:
            return
        for rows in _Stage(settings).estimates(chain([first], batches)):
            photos_done.add(len(rows))
            yield pd.DataFrame(rows, columns=_names(ESTIMATE_TYPE))

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
    estimator = _estimator(settings)
    for path in paths:
        fetched = _fetched(path.read_bytes, str(path))
        (estimate,) = estimator.estimate_faces([estimator.try_read_face(fetched.content)])
        row = _estimate_row(estimate) | {"content_sha256": fetched.sha256}
        del row["age_distribution"]
        origin = {"model_version": settings.model_version, "inference_engine": settings.inference_engine}
        yield {"photo": str(path)} | row | origin


Item = TypeVar("Item")
Result = TypeVar("Result")
Shares = list[Callable[[], list[Result]]]
"""What some threads are at: each gives the results of its share once it has them."""


@dataclass(frozen=True)
class Fetched:
    """The bytes of a photo and their hash, or why there are none."""

    content: bytes | UnusablePhotoError
    sha256: str | None = None


@dataclass(frozen=True)
class Prepared:
    """Photos on their way to the network; one of the same content as another before it has no face of its own."""

    sha256s: list[str | None]
    new: list[int]
    """Places of the photos that have a face of their own."""
    faces: Shares[FacePhoto | UnusablePhotoError]
    """Theirs."""


class _Stage:
    """The three steps that a task takes its photos through, side by side."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._landing = ObjectStore(settings.landing_uri)
        self._estimator = _estimator(settings)
        self._prepared_contents: set[str] = set()
        self._rows: dict[str, dict[str, object]] = {}
        self._given_up = threading.Event()

    def estimates(self, batches: Iterable[pd.DataFrame]) -> Iterator[list[dict[str, object]]]:
        """Yield the rows of up to PHOTOS_AHEAD photos at a time, in their order."""
        fetching, preparing = _pools(_task_cores() or 1)
        chunks = (chunk for photos in batches for chunk in self._chunks(photos))
        fetched = _one_ahead(_in_shares(self._fetch, chunk, fetching) for chunk in chunks)
        prepared = _one_ahead(self._prepare(_joined(shares), preparing) for shares in fetched)
        try:
            for chunk in prepared:
                yield self._estimate(chunk)
        finally:
            self._given_up.set()

    def _chunks(self, photos: pd.DataFrame) -> Iterator[list[Any]]:
        chunk: list[Any] = []
        size_bytes = 0
        rows: Iterable[Any] = photos.itertuples(index=False)
        for photo in rows:
            fetched_bytes = photo.size_bytes if photo.size_bytes <= self._settings.max_photo_bytes else 0
            if len(chunk) == PHOTOS_AHEAD or (chunk and size_bytes + fetched_bytes > BYTES_AHEAD):
                yield chunk
                chunk, size_bytes = [], 0
            chunk.append(photo)
            size_bytes += fetched_bytes
        if chunk:
            yield chunk

    def _fetch(self, photo: Any) -> Fetched:
        from models.photo_preprocessing import UnusablePhotoError

        if self._given_up.is_set():  # another photo failed the task: those that wait need not be asked for
            raise StoreError(f"photo '{photo.photo_key}' is not fetched, because its task has failed")
        if photo.key_problem:
            return Fetched(UnusablePhotoError("unreadable_key", photo.key_problem))
        if photo.size_bytes > self._settings.max_photo_bytes:
            reason = f"{photo.size_bytes} bytes, the limit is {self._settings.max_photo_bytes}"
            return Fetched(UnusablePhotoError("too_large", reason))
        fetched = _fetched(
            lambda: self._landing.read(photo.photo_key, photo.etag, photo.size_bytes),
            photo.photo_key,
        )
        if isinstance(fetched.content, UnusablePhotoError) and fetched.content.status == "unreadable_object":
            self._landing.check_reachable()  # a store that refuses or fails all photos is no fault of this one
        return fetched

    def _prepare(self, photos: list[Fetched], pool: Threads) -> Prepared:
        new = []
        for place, photo in enumerate(photos):
            if photo.sha256 not in self._prepared_contents:
                new.append(place)
            if photo.sha256:
                self._prepared_contents.add(photo.sha256)
        contents = [photos[place].content for place in new]
        return Prepared(
            [photo.sha256 for photo in photos], new, _in_shares(self._estimator.try_read_face, contents, pool)
        )

    def _estimate(self, photos: Prepared) -> list[dict[str, object]]:
        estimates = self._estimator.estimate_faces(_joined(photos.faces))
        rows = {place: _estimate_row(estimate) for place, estimate in zip(photos.new, estimates, strict=True)}
        self._rows |= {sha256: rows[place] for place in photos.new if (sha256 := photos.sha256s[place])}
        return [
            (rows[place] if place in rows else self._rows[sha256 or ""]) | {"content_sha256": sha256}
            for place, sha256 in enumerate(photos.sha256s)
        ]


@dataclass(frozen=True)
class Threads:
    """A pool, and how many threads it has."""

    pool: ThreadPoolExecutor
    count: int


@lru_cache(maxsize=1)
def _pools(task_cores: int) -> tuple[Threads, Threads]:
    """Return the threads that fetch and those that prepare; a worker keeps them, since new ones cost memory anew."""
    fetching, preparing = (Threads(ThreadPoolExecutor(count), count) for count in (FETCH_THREADS, task_cores))
    return fetching, preparing


def _in_shares(function: Callable[[Item], Result], items: Sequence[Item], threads: Threads) -> Shares[Result]:
    """Let each thread do an equal share, since a future for each photo would cost more than to read it from a disk.

    One thread is none: the caller does the work at once, because on one core two get in each other's way.
    """

    def results(share: Sequence[Item]) -> list[Result]:
        return [function(item) for item in share]

    if threads.count == 1:
        done = results(items)
        return [lambda: done]
    size = max(1, ceil(len(items) / threads.count))
    shares = [items[first : first + size] for first in range(0, len(items), size)]
    return [threads.pool.submit(results, share).result for share in shares]


def _joined(shares: Shares[Result]) -> list[Result]:
    return [result for share in shares for result in share()]


def _one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield each item once the next one has been begun."""
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting


def _fetched(read: Callable[[], bytes], name: str) -> Fetched:
    from models.photo_preprocessing import UnusablePhotoError

    try:
        content = read()
    except FileNotFoundError:
        return Fetched(UnusablePhotoError("missing", f"photo '{name}' is not there"))
    except ReplacedError:
        return Fetched(UnusablePhotoError("replaced", f"photo '{name}' is another than the one that was listed"))
    except UnusableKeyError as error:
        return Fetched(UnusablePhotoError("unreadable_key", str(error)))
    except (OSError, InputError) as error:
        return Fetched(UnusablePhotoError("unreadable_object", f"photo '{name}' cannot be read: {error}"))
    return Fetched(content, hashlib.sha256(content).hexdigest())


def _estimate_row(estimate: AgeEstimate) -> dict[str, object]:
    row = {field.name: getattr(estimate, field.name) for field in fields(estimate)}
    distribution = estimate.age_distribution
    under_18 = None if distribution is None else min(1.0, float(sum(distribution[:18])))
    return row | {
        "estimated_age_low_years": row.pop("age_interval_low_years"),
        "estimated_age_high_years": row.pop("age_interval_high_years"),
        "under_18_probability": under_18,
    }


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
        return AgeEstimator.load(model_version, engine, threads=threads, limits=limits)
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
