"""face_pixels: labelled photos as the networks see them at inference, for what is fitted to their answers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.serving.face_finding import FaceFinder
from models.serving.face_photo import read_face


def network_pixels(images: Path, file_names: Sequence[str], image_size: int) -> NDArray[np.float32]:
    """Return the (n, image_size, image_size, 3) pixels of photos that each have a usable face.

    Raises UnusablePhotoError for one that has none, and OSError for one that cannot be read.
    """
    photos = [read_face((images / file_name).read_bytes(), _finder(), image_size) for file_name in file_names]
    return np.stack([photo.pixels for photo in photos]).astype("float32")


@functools.cache
def _finder() -> FaceFinder:
    return FaceFinder.load()
