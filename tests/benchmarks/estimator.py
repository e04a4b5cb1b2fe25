"""estimator: this project's estimator as the contenders use it, loaded in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from inspect import signature
from typing import Any

import pyarrow as pa

from models import face_photo
from models.age_estimator import AgeEstimate, AgeEstimator
from models.face_crop import cut_square, face_square
from models.face_finding import FaceFinder
from models.face_photo import FacePhoto, UnusableFaceError
from models.photo_preprocessing import DEFAULT_LIMITS, UnusablePhotoError, decode_photo
from models.weights import MODEL_VERSIONS

MODEL_VERSION = MODEL_VERSIONS[-1]
ENGINE = "openvino"
BATCH_SIZE = 32
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


def load_estimator(threads: int) -> AgeEstimator:
    """Load the newest version on the engine of the night."""
    takes_engine = "engine" in signature(AgeEstimator.load).parameters
    engine: dict[str, Any] = {"engine": ENGINE} if takes_engine else {}
    return AgeEstimator.load(MODEL_VERSION, batch_size=BATCH_SIZE, threads=threads, **engine)


def decoded_photo(photo: bytes) -> Any:
    """Decode a photo as far as the search for a face needs it."""
    if hasattr(face_photo, "decode_for_search"):
        return face_photo.decode_for_search(photo, DEFAULT_LIMITS)
    return decode_photo(photo, face_photo.SEARCHED_SIDE_PIXELS)


def found_face(decoded: Any, finder: FaceFinder, image_size: int) -> FacePhoto | UnusablePhotoError:
    """Find the face in a decoded photo and cut its square."""
    try:
        if hasattr(face_photo, "cut_face"):
            return face_photo.cut_face(decoded, finder, image_size)
        return _cut(decoded, finder, image_size)
    except UnusablePhotoError as unusable:
        return unusable


def estimate_table(estimator: AgeEstimator, photos: Sequence[bytes]) -> pa.Table:
    """Estimate photos with all that the Spark stage returns of each."""
    estimates = estimator.estimate(photos)
    return pa.Table.from_pylist(
        [_row(estimate, photo) for estimate, photo in zip(estimates, photos, strict=True)], schema=ESTIMATE_SCHEMA
    )


def _row(estimate: AgeEstimate, photo: bytes) -> dict[str, Any]:
    return asdict(estimate) | {"content_sha256": hashlib.sha256(photo).hexdigest()}


def _cut(pixels: Any, finder: FaceFinder, image_size: int) -> FacePhoto:
    faces = finder.find(pixels)
    if not faces:
        raise UnusableFaceError("no_face", "no face was found", 0)
    square = face_square(faces[0], pixels.shape[1], pixels.shape[0])
    side_pixels = round(square.side * min(pixels.shape[:2]))
    return FacePhoto(cut_square(pixels, square, image_size), square, len(faces), side_pixels)
