"""sample_people: people who do not exist, of known age, on whose photos the age network errs as on real ones.

    people = SamplePeople.load()
    (pixels,) = people.faces_of(people.of_age(42)[:1])
    photo = take_photo(pixels, np.random.default_rng(7))

`choose_sample_people` has chosen them from many drawn faces so that, by true age, the network's answers are those that
it gives on real photos. So nothing about accuracy follows from them: they show what tables look like when the network
errs as it does. The file has no picture, only the numbers from which `SyntheticFaces` draws each face.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from models.faces.synthetic_faces import SyntheticFaces
from models.serving.model_versions import WEIGHTS_FOLDER, weights_path

SAMPLE_PEOPLE_VERSION = "sample_people-1"
SYNTHETIC_FACES_VERSION = "synthetic_faces-2"
LOOK_UNITS = 100
"""A look of 100 in the file is a look of 1, in units of its stored size."""
DRAWN_AT_ONCE = 64

PHOTO_SIDE_PIXELS = 200
JPEG_QUALITY = 90
CAMERA_SHIFT_SHARE = 0.03


@dataclass(frozen=True)
class SamplePeople:
    """A pool of n drawn people."""

    faces: SyntheticFaces
    ages_years: NDArray[np.int64]
    """(n,) the ages that they are said to have."""
    drawn_ages_years: NDArray[np.float64]
    """(n,) the ages that their faces are drawn with; others, because the network sees drawn faces with other eyes."""
    looks: NDArray[np.int8]
    """(n, m) their looks, in LOOK_UNITS."""

    @classmethod
    def load(cls, folder: Path = WEIGHTS_FOLDER) -> SamplePeople:
        """Read the committed pool. Raises WeightsError when a file is missing or altered."""
        faces = SyntheticFaces.load(weights_path(SYNTHETIC_FACES_VERSION, folder))
        with np.load(weights_path(SAMPLE_PEOPLE_VERSION, folder), allow_pickle=False) as arrays:
            ages_years = arrays["ages_years"].astype(np.int64)
            return cls(faces, ages_years, arrays["drawn_ages_years"].astype(np.float64), arrays["looks"])

    def of_age(self, age_years: int) -> NDArray[np.intp]:
        """Return the rows of the people of an age, or of the age next to it that somebody has."""
        apart = np.abs(self.ages_years - age_years)
        return np.flatnonzero(apart == apart.min())

    def faces_of(self, rows: Sequence[int] | NDArray[np.intp]) -> Iterator[NDArray[np.uint8]]:
        """Draw the faces of people, in order: (112, 112, 3) RGB pixels each."""
        for at in range(0, len(rows), DRAWN_AT_ONCE):
            chunk = list(rows[at : at + DRAWN_AT_ONCE])
            looks = self.looks[chunk].astype(np.float32) / np.float32(LOOK_UNITS)
            yield from self.faces.faces(self.drawn_ages_years[chunk].tolist(), looks)


def take_photo(pixels: NDArray[np.uint8], random: Generator) -> bytes:
    """Take a photo of a square of pixels, a little off-centre, as a JPEG of 200 × 200 pixels."""
    side = pixels.shape[0]
    left, top = random.uniform(0, CAMERA_SHIFT_SHARE * side, size=2)
    inner = side * (1 - CAMERA_SHIFT_SHARE)
    photo = Image.fromarray(pixels).resize(
        (PHOTO_SIDE_PIXELS, PHOTO_SIDE_PIXELS), Image.Resampling.BICUBIC, box=(left, top, left + inner, top + inner)
    )
    jpeg = io.BytesIO()
    photo.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return jpeg.getvalue()
