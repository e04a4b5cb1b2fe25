"""inference_stage: takes the photos of one Spark task through the age model: from bytes to an age distribution.

Three steps run at the same time, each on different photos: some threads fetch, as many threads as the task has cores
decode and search for faces, and the network runs on what is ready. On a single core the last two steps take turns. A
task looks at photos with the same content only once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import chain
from math import ceil
from typing import Any, TypeVar

import pandas as pd

from jobs.errors import InputError, ReplacedError, StoreError, UnusableKeyError
from jobs.warehouse.object_store import ObjectStore
from models.serving.age_estimator import AgeEstimate, AgeEstimator
from models.serving.face_photo import FacePhoto
from models.serving.photo_preprocessing import UnusablePhotoError
from models.serving.photo_statuses import PhotoStatus

FETCH_THREADS = 8
PHOTOS_AHEAD = 64
BYTES_AHEAD = 64 * 1024 * 1024
"""Limits of photos that are fetched, or held as faces, before the network runs on them. A worker's memory grows with
both.
"""

Item = TypeVar("Item")
Result = TypeVar("Result")
Content = tuple[str, float]
"""The sha256 of a photo's bytes, and the stretch of its frame: photos that share both share an estimate."""
NO_CONTENT: Content = ("", 1.0)
PendingResults = list[Callable[[], list[Result]]]
"""Work in progress: call each entry to wait for that thread's results."""


@dataclass(frozen=True)
class Fetched:
    """The bytes of a photo and their hash, or the reason why there are none."""

    content: bytes | UnusablePhotoError
    sha256: str | None = None
    stretch: float = 1.0

    @property
    def looked_at(self) -> Content | None:
        """The key by which equal photos share an estimate: content and stretch; None if there are no bytes."""
        return (self.sha256, self.stretch) if self.sha256 else None


@dataclass(frozen=True)
class Prepared:
    """A batch of faces, ready for the network. Photos with content that the task has already seen are left out."""

    photos: list[Fetched]
    new_indexes: list[int]
    """Positions of the photos that are prepared."""
    new_faces: PendingResults[FacePhoto | UnusablePhotoError]
    """The faces of the photos at these positions."""


class InferenceStage:
    """Runs the three steps of a task, which overlap in time: fetch photos, prepare faces, estimate ages."""

    def __init__(self, landing: ObjectStore, estimator: AgeEstimator, max_photo_bytes: int, task_cores: int) -> None:
        """Take photos from `landing`; one larger than `max_photo_bytes` gets a row, but is not fetched."""
        self._landing = landing
        self._estimator = estimator
        self._max_photo_bytes = max_photo_bytes
        self._task_cores = task_cores
        self._prepared_contents: set[Content] = set()
        self._rows: dict[Content, dict[str, object]] = {}
        self._given_up = threading.Event()

    def estimates(self, batches: Iterable[pd.DataFrame]) -> Iterator[list[dict[str, object]]]:
        """Estimate photos, and yield the rows of up to PHOTOS_AHEAD photos at a time, in the order of the photos.

        `batches` have the columns photo_key, etag, size_bytes, key_problem and photo_stretch.
        Raises InputError or StoreError if the object store refuses or fails all photos, and not just single ones.
        """
        fetching, preparing = _pools(self._task_cores)
        chunks = (chunk for photos in batches for chunk in self._chunks(photos))
        fetched: PendingResults[Fetched] | None = None
        prepared: Prepared | None = None
        try:
            # While the network runs on one chunk, the next is being prepared and the one after it fetched. Two turns
            # without a chunk bring the last ones to their end.
            for chunk in chain(chunks, (None, None)):
                fetched_next = _in_shares(self._fetch, chunk, fetching) if chunk else None
                prepared_next = self._prepare(_joined(fetched), preparing) if fetched else None
                if prepared:
                    yield self._estimate(prepared)
                fetched, prepared = fetched_next, prepared_next
        finally:
            # Also when the caller stops early or a photo fails the task: fetches that still wait end at once.
            self._given_up.set()

    def _chunks(self, photos: pd.DataFrame) -> Iterator[list[Any]]:
        chunk: list[Any] = []
        size_bytes = 0
        rows: Iterable[Any] = photos.itertuples(index=False)
        for photo in rows:
            # A photo over the limit is never fetched, so it takes no memory.
            fetched_bytes = photo.size_bytes if photo.size_bytes <= self._max_photo_bytes else 0
            if len(chunk) == PHOTOS_AHEAD or (chunk and size_bytes + fetched_bytes > BYTES_AHEAD):
                yield chunk
                chunk, size_bytes = [], 0
            chunk.append(photo)
            size_bytes += fetched_bytes
        if chunk:
            yield chunk

    def _fetch(self, photo: Any) -> Fetched:
        if self._given_up.is_set():  # another photo failed the task: those that wait need not be asked for
            raise StoreError(f"photo '{photo.photo_key}' is not fetched, because its task has failed")
        if photo.key_problem:
            return Fetched(UnusablePhotoError(PhotoStatus.UNREADABLE_KEY, photo.key_problem))
        if photo.size_bytes > self._max_photo_bytes:
            reason = f"{photo.size_bytes} bytes, the limit is {self._max_photo_bytes}"
            return Fetched(UnusablePhotoError(PhotoStatus.TOO_LARGE, reason))
        fetched = read_photo(
            lambda: self._landing.read(photo.photo_key, photo.etag, photo.size_bytes),
            photo.photo_key,
        )
        if isinstance(fetched.content, UnusablePhotoError) and fetched.content.status == PhotoStatus.UNREADABLE_OBJECT:
            self._landing.check_reachable()  # a store that refuses or fails all photos is no fault of this one
        return replace(fetched, stretch=photo.photo_stretch)

    def _prepare(self, photos: list[Fetched], pool: Threads) -> Prepared:
        new = []
        for place, photo in enumerate(photos):
            if photo.looked_at not in self._prepared_contents:
                # Photos without bytes have no content; each of them is prepared, which gives it its own reason.
                new.append(place)
            if photo.looked_at:
                self._prepared_contents.add(photo.looked_at)

        def face(photo: Fetched) -> FacePhoto | UnusablePhotoError:
            return self._estimator.try_read_face(photo.content, photo.stretch)

        return Prepared(photos, new, _in_shares(face, [photos[place] for place in new], pool))

    def _estimate(self, photos: Prepared) -> list[dict[str, object]]:
        estimates = self._estimator.estimate_faces(_joined(photos.new_faces))
        rows = {place: estimate_row(estimate) for place, estimate in zip(photos.new_indexes, estimates, strict=True)}
        self._rows |= {
            content: rows[place] for place in photos.new_indexes if (content := photos.photos[place].looked_at)
        }
        return [
            # A photo that was not new shares the row of the first photo with its content.
            (rows[place] if place in rows else self._rows[photo.looked_at or NO_CONTENT])
            | {"content_sha256": photo.sha256}
            for place, photo in enumerate(photos.photos)
        ]


@dataclass(frozen=True)
class Threads:
    """A pool of threads, with the number of its threads."""

    pool: ThreadPoolExecutor
    count: int


@lru_cache(maxsize=1)
def _pools(task_cores: int) -> tuple[Threads, Threads]:
    """Return the threads that fetch and those that prepare; a worker keeps them, because new ones cost memory."""
    fetching, preparing = (Threads(ThreadPoolExecutor(count), count) for count in (FETCH_THREADS, task_cores))
    return fetching, preparing


def _in_shares(function: Callable[[Item], Result], items: Sequence[Item], threads: Threads) -> PendingResults[Result]:
    """Let each thread do an equal share: a future for each photo would cost more than reading it from a disk.

    With one thread, the caller does the work at once: on a single core a second thread only slows both down.
    """

    def results(share: Sequence[Item]) -> list[Result]:
        return [function(item) for item in share]

    if threads.count == 1:
        done = results(items)
        return [lambda: done]
    size = max(1, ceil(len(items) / threads.count))
    shares = [items[first : first + size] for first in range(0, len(items), size)]
    return [threads.pool.submit(results, share).result for share in shares]


def _joined(shares: PendingResults[Result]) -> list[Result]:
    return [result for share in shares for result in share()]


def read_photo(read: Callable[[], bytes], name: str) -> Fetched:
    """Fetch the bytes of a photo with `read`, or say why they cannot be fetched."""
    try:
        content = read()
    except FileNotFoundError:
        return Fetched(UnusablePhotoError(PhotoStatus.MISSING, f"photo '{name}' is not there"))
    except ReplacedError:
        return Fetched(UnusablePhotoError(PhotoStatus.REPLACED, f"photo '{name}' was replaced after it was listed"))
    except UnusableKeyError as error:
        return Fetched(UnusablePhotoError(PhotoStatus.UNREADABLE_KEY, str(error)))
    except (OSError, InputError) as error:
        return Fetched(UnusablePhotoError(PhotoStatus.UNREADABLE_OBJECT, f"photo '{name}' cannot be read: {error}"))
    return Fetched(content, hashlib.sha256(content).hexdigest())


def estimate_row(estimate: AgeEstimate) -> dict[str, object]:
    """Turn the model's estimate into a row of photo_age_estimates."""
    row = {field.name: getattr(estimate, field.name) for field in fields(estimate)}
    distribution = estimate.age_distribution
    # Rounded shares may add up to slightly more than 1.
    under_18 = None if distribution is None else min(1.0, float(sum(distribution[:18])))
    return row | {
        "estimated_age_low_years": row.pop("age_interval_low_years"),
        "estimated_age_high_years": row.pop("age_interval_high_years"),
        "under_18_probability": under_18,
    }
