"""face_photos: photos of nobody, made by code, and estimators that all tests of the model share."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.faces.synthetic_faces import SyntheticFaces
from models.serving.age_estimator import AgeEstimator, Engine
from models.serving.model_versions import MODEL_VERSIONS, weights_path
from models.serving.photo_preprocessing import EXIF_ORIENTATION, Pixels, decode_photo


def photo_bytes(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return exif


def field_photo(name: str) -> bytes:
    """Return a small photo of one drawn face, in a form in which photos may arrive; `face_drawn.jpg` has no fault."""
    return (Path(__file__).parents[1] / "models" / "field" / name).read_bytes()


def drawn_face() -> Pixels:
    """Return the drawn face without a fault, 200 pixels a side."""
    return decode_photo(field_photo("face_drawn.jpg"), 200)


def smooth_photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return soft coloured blots: a photo of nobody that is as large and as compressible as a real one."""
    blots = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype="uint8")
    return Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)


def synthetic_face(person: int, age_years: int = 35) -> Pixels:
    """Return a tight crop of a face of nobody, of 112 pixels a side."""
    return _synthetic_faces().sample(age_years, np.random.default_rng(person))


@cache
def _synthetic_faces() -> SyntheticFaces:
    return SyntheticFaces.load(weights_path("synthetic_faces-2"))


@cache
def committed_estimator(engine: Engine) -> AgeEstimator:
    return AgeEstimator.load(MODEL_VERSIONS[-1], engine, batch_size=4, threads=1)
