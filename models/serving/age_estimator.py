"""age_estimator: one age estimate per photo, or the reason why there is none.

Finding faces and running the network are separate steps: a caller may find faces in threads while the network runs.

    estimator = AgeEstimator.load("age_resnet50-4")
    estimates = estimator.estimate([photo.read_bytes() for photo in photos])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.serving.age_distribution import YEARS_OF_AGE, Floats, pooled, probabilities, summarise
from models.serving.face_finding import FaceFinder
from models.serving.face_photo import FacePhoto, UnusableFaceError, read_crop, read_face
from models.serving.model_manifest import ModelManifest, read_manifest
from models.serving.model_versions import WEIGHTS_FOLDER, model_files, openvino_path
from models.serving.openvino_engine import OpenVinoNetwork
from models.serving.photo_preprocessing import DEFAULT_LIMITS, PhotoLimits, Pixels, UnusablePhotoError
from models.serving.photo_statuses import PhotoStatus
from models.serving.tensorflow_engine import TensorFlowNetwork

ESTIMATED = PhotoStatus.ESTIMATED

BATCH_SIZE = 16
"""A network of 112 pixels reaches its full speed at 8 photos a batch (`make bench`)."""

Engine = Literal["openvino", "tensorflow"]
"""Inference engine: int8 on OpenVINO, or float32 on TensorFlow, the reference."""

Network = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]
"""Maps batches of (batch_size, side, side, 3) pixels to their logits: (batch_size, 101) each, or (batch_size, 202) with
a second opinion."""


@dataclass(frozen=True)
class AgeEstimate:
    """The age estimate of one photo; for an unusable photo, the reason and no numbers."""

    estimate_status: str
    """`estimated`, or the status of the UnusablePhotoError."""
    estimate_reason: str | None = None
    estimated_age_years: float | None = None
    age_interval_low_years: float | None = None
    age_interval_high_years: float | None = None
    """The interval contains the true age of 9 of 10 people like those of split `valid`."""
    age_distribution: list[float] | None = None
    """Calibrated probability of each year of age 0–100, the input of `age_distribution.summarise`."""
    face_count: int | None = None
    """Faces in the photo; the estimate is of the most prominent one. None for a photo that was not searched."""
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
        """Without a `finder`, every photo is treated as a tight crop of one face."""
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
        engine: Engine = "openvino",
        batch_size: int = BATCH_SIZE,
        threads: int | None = None,
        limits: PhotoLimits = DEFAULT_LIMITS,
        folder: Path = WEIGHTS_FOLDER,
    ) -> AgeEstimator:
        """Load a verified version. It takes about a second on OpenVINO, 10–16 s on TensorFlow in a fresh process.

        `threads` bounds the threads of the engine and of the face finder; None lets them use every core.
        Raises WeightsError when the version is unknown, or one of its files is missing or altered.
        """
        manifest = read_manifest(version, folder)
        network: Network
        if engine == "openvino":
            network = OpenVinoNetwork(openvino_path(version, folder), manifest.image_size, batch_size, threads)
        else:
            network = TensorFlowNetwork(model_files(version, folder), manifest, batch_size, threads)
        return cls(version, manifest, network, FaceFinder.load(threads), batch_size, limits)

    def read_face(self, photo: bytes, stretch: float = 1.0) -> FacePhoto:
        """Find the face and cut the square for the network; safe to call from threads.

        `stretch` is that of `face_photo.read_face`. Raises UnusablePhotoError.
        """
        side = self.manifest.image_size
        if self._finder is None:
            return read_crop(photo, side, self._limits)
        return read_face(photo, self._finder, side, self._limits, stretch)

    def decode(self, photo: bytes) -> Pixels:
        """Return only the (side, side, 3) pixels of `read_face`, the input of `estimate_pixels`.

        Raises UnusablePhotoError.
        """
        return self.read_face(photo).pixels

    def estimate(self, photos: Sequence[bytes | UnusablePhotoError]) -> list[AgeEstimate]:
        """Return one estimate per photo, or the reason why there is none, in the order of the photos."""
        return self.estimate_faces([self.try_read_face(photo) for photo in photos])

    def estimate_faces(self, photos: Sequence[FacePhoto | UnusablePhotoError]) -> list[AgeEstimate]:
        """Return one estimate per result of `read_face`, or the reason why there is none, in the same order."""
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
        return calibrated(self.opinions(pixels), self.manifest)

    def opinions(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the (n, 101) logits of ResNet50 and, if the version has it, of the small face network."""
        # All views run as one array, so that mirrored photos fill the last batch instead of padding.
        views = [pixels, pixels[:, :, ::-1]] if self.manifest.mirrored else [pixels]
        logits = np.mean(np.split(self._logits(np.concatenate(views)), len(views)), axis=0)
        return split_opinions(logits)

    def _logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run all photos in batches of one fixed shape."""
        # The engines are prepared for one shape, because another would be compiled or traced again: so pad with black.
        padding = np.zeros((-len(pixels) % self.batch_size, *pixels.shape[1:]), dtype="uint8")
        padded = np.concatenate([pixels, padding])
        batches = np.split(padded, len(padded) // self.batch_size)
        return np.concatenate(self._network(batches))[: len(pixels)]

    def try_read_face(self, photo: bytes | UnusablePhotoError, stretch: float = 1.0) -> FacePhoto | UnusablePhotoError:
        """Return the result of `read_face`, or its error as a value. If `photo` is an error already, return that."""
        if isinstance(photo, UnusablePhotoError):
            return photo
        try:
            return self.read_face(photo, stretch)
        except UnusablePhotoError as unusable:
            return unusable

    def _estimates(self, distributions: Floats) -> list[AgeEstimate]:
        summary = summarise(distributions, self.manifest.interval_mass, self.manifest.young_adult_correction)
        columns = (
            summary.estimated_age_years,
            summary.age_interval_low_years,
            summary.age_interval_high_years,
            distributions,
        )
        return [
            AgeEstimate(ESTIMATED, None, *row) for row in zip(*(column.tolist() for column in columns), strict=True)
        ]


def split_opinions(logits: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Split (n, 101 × networks) logits into the (n, 101) logits of each network."""
    return np.split(logits, logits.shape[1] // YEARS_OF_AGE, axis=1)


def calibrated(opinions: Sequence[NDArray[np.float32]], manifest: ModelManifest) -> Floats:
    """Return a version's calibrated (n, 101) distributions from the (n, 101) logits of each of its networks."""
    if manifest.second_opinion is None:
        return probabilities(opinions[0], manifest.temperature)
    first, second = opinions
    return pooled(first, second, manifest.second_opinion.share, manifest.temperature)


def _without_estimate(unusable: UnusablePhotoError) -> AgeEstimate:
    estimate = AgeEstimate(unusable.status, unusable.reason)
    if isinstance(unusable, UnusableFaceError):
        return replace(estimate, face_count=unusable.face_count, face_side_pixels=unusable.face_side_pixels)
    return estimate
