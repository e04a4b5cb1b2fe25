"""photo_traits: measure the size, sharpness and brightness of a face, which may explain an error of the estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.serving.face_checks import face_traits
from models.serving.face_photo import FacePhoto


@dataclass(frozen=True)
class PhotoTraits:
    """Measurements of the face in one photo."""

    face_count: int | None
    face_side_pixels: int | None
    """Side of the square around the face, in pixels of the photo as it was taken; None if it was not searched."""
    sharpness: float
    """Sharpness of `face_checks.FaceTraits` for the pixels that the network sees; a small value means blurred."""
    brightness: float
    """Mean grey of those pixels, 0 black to 255 white."""


def photo_traits(face: FacePhoto) -> PhotoTraits:
    """Measure size, sharpness and brightness of a face, in the pixels that the network gets."""
    grey = np.asarray(Image.fromarray(face.pixels).convert("L"), dtype=np.float64)
    return PhotoTraits(face.face_count, face.face_side_pixels, face_traits(face.pixels).sharpness, float(grey.mean()))
