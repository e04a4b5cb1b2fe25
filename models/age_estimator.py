"""age_estimator: photos ► one age estimate, or the reason why there is none, per photo.

Finding the face and the network are two steps, so that a caller may find faces in threads while the network runs:

    estimator = AgeEstimator.load("age_resnet50-2")
    estimates = estimator.estimate([photo.read_bytes() for photo in photos])
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.age_distribution import YEARS_OF_AGE, Floats, age_interval_years, expected_age_years, probabilities
from models.age_resnet50 import build_age_resnet50, load_weights, read_weights
from models.face_finding import FaceFinder
from models.face_photo import FacePhoto, UnusableFaceError, read_crop, read_face
from models.model_manifest import ModelManifest, read_manifest
from models.photo_preprocessing import DEFAULT_LIMITS, PhotoLimits, Pixels, UnusablePhotoError
from models.weights import WEIGHTS_FOLDER, model_files

ESTIMATED = "estimated"

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(batch_size, side, side, 3) pixels ► (batch_size, 101) logits."""


@dataclass(frozen=True)
class AgeEstimate:
    """What one photo says about a person's age; without a usable photo, the reason and no numbers."""

    estimate_status: str
    """`estimated`, or the status of the UnusablePhotoError."""
    estimate_reason: str | None = None
    estimated_age_years: float | None = None
    age_interval_low_years: float | None = None
    age_interval_high_years: float | None = None
    """The interval holds the true age of 9 of 10 people like those of split `valid`."""
    age_distribution: list[float] | None = None
    """Calibrated probability of each year of age 0–100; `age_distribution.summarise` takes it further."""
    face_count: int | None = None
    """Faces in the photo; the estimate is of the largest and nearest to the middle. None for a photo not searched."""
    face_side_pixels: int | None = None
    """Side of the square around that face, in pixels of the photo as it was taken."""


class AgeEstimator:
    """One version of the age network, ready to run; `load` it once per process."""

    def __init__(
        self,
        version: str,
        manifest: ModelManifest,
        network: Network,
        finder: FaceFinder | None,
        batch_size: int,
        limits: PhotoLimits = DEFAULT_LIMITS,
    ) -> None:
        """Without a `finder` each photo is taken for a tight crop of one face."""
        self.version = version
        self.manifest = manifest
        self.batch_size = batch_size
        self._network = network
        self._finder = finder
        self._limits = limits

    @classmethod
    def load(
        cls,
        version: str,
        batch_size: int = 32,
        threads: int | None = None,
        limits: PhotoLimits = DEFAULT_LIMITS,
        folder: Path = WEIGHTS_FOLDER,
    ) -> AgeEstimator:
        """Start TensorFlow (10–16 s in a fresh process) and load a verified version.

        `threads` bounds the threads of TensorFlow and of the face finder; None lets them take every core.
        Raises WeightsError when the version is unknown or one of its files is missing or altered.
        """
        manifest = read_manifest(version, folder)
        weights = model_files(version, folder).weights
        network = _load_network(weights, manifest.image_size, batch_size, threads)
        return cls(version, manifest, network, FaceFinder.load(threads), batch_size, limits)

    def read_face(self, photo: bytes) -> FacePhoto:
        """Find the face and cut the square that the network takes; safe to call from threads.

        Raises UnusablePhotoError.
        """
        side = self.manifest.image_size
        return (
            read_face(photo, self._finder, side, self._limits) if self._finder else read_crop(photo, side, self._limits)
        )

    def decode(self, photo: bytes) -> Pixels:
        """Return only the (side, side, 3) pixels of `read_face`, as `estimate_pixels` takes them.

        Raises UnusablePhotoError.
        """
        return self.read_face(photo).pixels

    def estimate(self, photos: Sequence[bytes | UnusablePhotoError]) -> list[AgeEstimate]:
        """Return one estimate, or reason why there is none, per photo, in their order."""
        return self.estimate_faces([self._try_read_face(photo) for photo in photos])

    def estimate_faces(self, photos: Sequence[FacePhoto | UnusablePhotoError]) -> list[AgeEstimate]:
        """Return one estimate, or reason why there is none, per result of `read_face`, in their order."""
        pixels = [photo.pixels for photo in photos if isinstance(photo, FacePhoto)]
        estimates = iter(self._estimates(self.estimate_pixels(np.stack(pixels)))) if pixels else iter(())
        return [
            replace(next(estimates), face_count=photo.face_count, face_side_pixels=photo.face_side_pixels)
            if isinstance(photo, FacePhoto)
            else _without_estimate(photo)
            for photo in photos
        ]

    def estimate_pixels(self, pixels: NDArray[np.uint8]) -> Floats:
        """Return (n, 101) calibrated distributions over years of age for (n, side, side, 3) pixels."""
        if not len(pixels):
            return np.empty((0, YEARS_OF_AGE))
        logits = self._logits(pixels)
        if self.manifest.mirrored:
            logits = np.mean([logits, self._logits(pixels[:, :, ::-1])], axis=0, dtype=np.float32)
        return probabilities(logits, self.manifest.temperature)

    def _logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts = range(0, len(pixels), self.batch_size)
        return np.concatenate([self._padded_batch(pixels[at : at + self.batch_size]) for at in starts])

    def _padded_batch(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run up to `batch_size` photos; one fixed shape, because TensorFlow traces each new shape anew."""
        padding = np.zeros((self.batch_size - len(pixels), *pixels.shape[1:]), dtype="uint8")
        return self._network(np.concatenate([pixels, padding]))[: len(pixels)]

    def _try_read_face(self, photo: bytes | UnusablePhotoError) -> FacePhoto | UnusablePhotoError:
        if isinstance(photo, UnusablePhotoError):
            return photo
        try:
            return self.read_face(photo)
        except UnusablePhotoError as unusable:
            return unusable

    def _estimates(self, distributions: Floats) -> list[AgeEstimate]:
        years = expected_age_years(distributions)
        low, high = age_interval_years(distributions, self.manifest.interval_mass)
        return [
            AgeEstimate(ESTIMATED, None, float(years[row]), float(low[row]), float(high[row]), distribution.tolist())
            for row, distribution in enumerate(distributions)
        ]


def _without_estimate(unusable: UnusablePhotoError) -> AgeEstimate:
    estimate = AgeEstimate(unusable.status, unusable.reason)
    if isinstance(unusable, UnusableFaceError):
        return replace(estimate, face_count=unusable.face_count, face_side_pixels=unusable.face_side_pixels)
    return estimate


def _load_network(weights: Path, image_size: int, batch_size: int, threads: int | None) -> Network:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(f"inference runs on TensorFlow, but KERAS_BACKEND is '{keras.backend.backend()}': unset it")
    if threads:
        _limit_threads(tf, threads)
    network = build_age_resnet50()
    load_weights(network, read_weights(weights))
    signature = [tf.TensorSpec((batch_size, image_size, image_size, 3), tf.uint8)]
    graph = tf.function(lambda pixels: network(tf.cast(pixels, tf.float32), training=False), input_signature=signature)
    return lambda pixels: graph(tf.constant(pixels)).numpy()


def _limit_threads(tf: Any, threads: int) -> None:
    """Bound TensorFlow's two thread pools (it ignores OMP_NUM_THREADS); after its first operation they stay as is."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
