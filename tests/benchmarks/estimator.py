"""estimator: load this project's estimator, the same way for all contenders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from models.serving.age_estimator import AgeEstimate, AgeEstimator
from models.serving.face_finding import FaceFinder
from models.serving.face_photo import DecodedPhoto, FacePhoto, cut_face
from models.serving.model_versions import MODEL_VERSIONS
from models.serving.photo_preprocessing import UnusablePhotoError

MODEL_VERSION, VERSION_BEFORE = MODEL_VERSIONS[-1], MODEL_VERSIONS[-2]
BATCH_SIZE = 64
"""Number of photos that the estimator, or Keras, gets at a time."""

ESTIMATE_SCHEMA = pa.schema(
    {
        "estimate_status": pa.string(),
        "estimate_reason": pa.string(),
        "estimated_age_years": pa.float64(),
        "age_interval_low_years": pa.float64(),
        "age_interval_high_years": pa.float64(),
        "age_distribution": pa.list_(pa.float32()),
        "face_count": pa.int64(),
        "face_side_pixels": pa.int64(),
        "content_sha256": pa.string(),
    }
)


def load_estimator(threads: int, version: str = MODEL_VERSION) -> AgeEstimator:
    """Load a version, by default the newest, on the engine of the nightly job."""
    return AgeEstimator.load(version, threads=threads)


def found_face(decoded: DecodedPhoto, finder: FaceFinder, image_size: int) -> FacePhoto | UnusablePhotoError:
    """Find the face in a decoded photo and cut its square."""
    try:
        return cut_face(decoded, finder, image_size)
    except UnusablePhotoError as unusable:
        return unusable


def estimate_table(estimator: AgeEstimator, photos: Sequence[bytes]) -> pa.Table:
    """Estimate photos; return all columns that the Spark stage returns for each."""
    estimates = estimator.estimate(photos)
    return pa.Table.from_pylist(
        [_row(estimate, photo) for estimate, photo in zip(estimates, photos, strict=True)], schema=ESTIMATE_SCHEMA
    )


def _row(estimate: AgeEstimate, photo: bytes) -> dict[str, Any]:
    return asdict(estimate) | {"content_sha256": hashlib.sha256(photo).hexdigest()}
