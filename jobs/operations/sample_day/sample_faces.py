"""sample_faces: returns photos of faces of wanted ages: real labelled photos from a folder, or drawn people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jobs.errors import InputError
from models.errors import ModelInputError
from models.faces.face_labels import find_labelled_faces
from models.faces.sample_people import SamplePeople, take_photo
from models.serving.model_versions import WeightsError

AGE_NEIGHBOURHOOD_YEARS = 2


class FacePhoto(NamedTuple):
    """The bytes of a photo, with the age of the face in it."""

    content: bytes
    age_years: int


FacePhotos = Callable[[Sequence[int], Sequence[int], int], Iterator[FacePhoto]]
"""(ages_years, people, seed) ► one photo per age, in order; the same arguments give the same bytes."""


def labelled_face_photos(folder: Path) -> FacePhotos:
    """Return a function that takes real photos of the nearest ages from a folder, with unchanged bytes.

    The folder does not say which photos show the same person. Within two years of the wanted age, each photo is used
    once before any is used again.
    Raises InputError when the folder has no labelled photo.
    """
    try:
        faces = find_labelled_faces(folder)
    except ModelInputError as error:
        raise InputError(str(error)) from None
    if faces.empty:
        raise InputError(f"folder '{folder}' holds none of the photos that its labels.csv names")
    names = faces["file_name"].to_list()
    ages = faces["real_age"].to_numpy(dtype=float)

    def photos(ages_years: Sequence[int], people: Sequence[int], seed: int) -> Iterator[FacePhoto]:
        order = np.random.default_rng(seed).permutation(len(names))
        used = np.zeros(len(names), dtype=int)
        for age_years in ages_years:
            face = order[_least_used_near(ages[order], used[order], age_years)]
            used[face] += 1
            yield FacePhoto((folder / names[face]).read_bytes(), round(float(ages[face])))

    return photos


def synthetic_face_photos() -> FacePhotos:
    """Return a function that takes photos of people who do not exist, from the pool of `models.faces.sample_people`.

    Photos of one person differ a little, as real ones do. Another seed draws other people; some of them come back.
    Raises InputError if the file of the people, or the weights that draw them, are missing or altered.
    """
    try:
        pool = SamplePeople.load()
    except WeightsError as error:
        raise InputError(str(error)) from None

    def photos(ages_years: Sequence[int], people: Sequence[int], seed: int) -> Iterator[FacePhoto]:
        # One random stream per person and one per photo: a person keeps the face, and each photo has its own shift.
        rows = [
            int(np.random.default_rng([seed, 0, person]).choice(pool.of_age(age_years)))
            for age_years, person in zip(ages_years, people, strict=True)
        ]
        for number, (row, pixels) in enumerate(zip(rows, pool.faces_of(rows), strict=True)):
            photo = take_photo(pixels, np.random.default_rng([seed, 1, number]))
            yield FacePhoto(photo, int(pool.ages_years[row]))

    return photos


def _least_used_near(ages: np.ndarray, used: np.ndarray, age_years: int) -> int:
    """Return the least used row near the age; of several, the nearest; of several such, the first."""
    distance = np.abs(ages - age_years)
    is_near = distance <= max(AGE_NEIGHBOURHOOD_YEARS, distance.min())
    near = np.flatnonzero(is_near)
    return int(near[np.lexsort((distance[near], used[near]))[0]])
