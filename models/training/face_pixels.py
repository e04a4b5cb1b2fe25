"""face_pixels: read labelled photos in the form that the networks get at inference, for calibration and training."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.serving.face_finding import FaceFinder
from models.serving.face_photo import read_face


def network_pixels(images: Path, file_names: Sequence[str], image_size: int) -> NDArray[np.float32]:
    """Return the squares around the faces of photos, as (n, image_size, image_size, 3) pixels.

    Each photo needs a usable face.

    Raises UnusablePhotoError for a photo without one, and OSError for a photo that cannot be read.
    """
    photos = [read_face((images / file_name).read_bytes(), _finder(), image_size) for file_name in file_names]
    return np.stack([photo.pixels for photo in photos]).astype("float32")


@functools.cache
def _finder() -> FaceFinder:
    return FaceFinder.load()
