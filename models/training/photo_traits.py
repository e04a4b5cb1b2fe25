"""photo_traits: how large, sharp and bright a face is: what may explain an error, besides the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.serving.face_checks import face_traits
from models.serving.face_photo import FacePhoto


@dataclass(frozen=True)
class PhotoTraits:
    """What can be measured of the face in one photo."""

    face_count: int | None
    face_side_pixels: int | None
    """Side of the square around the face, in pixels of the photo as it was taken; None where no face was looked for."""
    sharpness: float
    """As in `face_checks.FaceTraits`, of the pixels that the network sees; small is blurred."""
    brightness: float
    """Mean grey of those pixels, 0 black to 255 white."""


def photo_traits(face: FacePhoto) -> PhotoTraits:
    """Measure what the network sees of a photo."""
    grey = np.asarray(Image.fromarray(face.pixels).convert("L"), dtype=np.float64)
    return PhotoTraits(face.face_count, face.face_side_pixels, face_traits(face.pixels).sharpness, float(grey.mean()))
