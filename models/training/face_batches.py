"""face_batches: batches of labelled photos for training, in another order and variation in each epoch."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.faces.face_labels import ages_years
from models.serving.age_distribution import Floats
from models.serving.face_crop import cut_square
from models.serving.face_finding import FaceFinder
from models.serving.face_photo import read_face
from models.serving.photo_preprocessing import Pixels, UnusablePhotoError, decode_photo
from models.training.photo_augmentation import NO_VARIATIONS, Augmentation, augment_photo
from models.training.teacher_targets import TeacherTargets

THREADS = 2

Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class FaceBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches for a training: (n, side, side, 3) float32 pixels, (n, 1) ages and (n,) weights; shuffled with a `seed`.

    With a teacher, its targets for each photo follow the age: (n, 1 + 101 + d).
    """

    def __init__(
        self,
        faces: pd.DataFrame,
        images: Path,
        side_pixels: int,
        batch_size: int,
        weights_by_age: Floats | None = None,
        augmentation: Augmentation = NO_VARIATIONS,
        seed: int | None = None,
        teacher: TeacherTargets | None = None,
    ) -> None:
        """`faces` has file_name, real_age and the square of `find_squares`."""
        super().__init__(workers=THREADS, max_queue_size=2 * THREADS)
        self._photos = [(images / name).read_bytes() for name in faces["file_name"]]
        self._squares = list(faces["square"])
        self._ages = ages_years(faces)
        targets = self._ages[:, None].astype("float32")
        self._targets = np.hstack([targets, teacher.of(list(faces["file_name"]))]) if teacher else targets
        weights = np.ones(len(faces)) if weights_by_age is None else weights_by_age[self._ages]
        self._weights = weights.astype("float32")
        self._side = side_pixels
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self.start_epoch(0)

    def __len__(self) -> int:
        return int(np.ceil(len(self._photos) / self._batch_size))

    def __getitem__(self, batch: int) -> Batch:
        rows = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        pixels = np.stack([self._face(row) for row in rows]).astype("float32")
        return pixels, self._targets[rows], self._weights[rows]

    def start_epoch(self, epoch: int) -> None:
        """Set the order and the photo variations of an epoch, so that a resumed training continues where it stopped."""
        self._epoch = epoch
        self._order = np.arange(len(self._photos))
        if self._seed is not None:
            self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._photos))

    def _face(self, row: int) -> Pixels:
        square = self._squares[row]
        photo = decode_photo(self._photos[row], int(np.ceil(self._side / square.side)))
        # Not scaled yet: augmentation turns and crops first, and needs the detail.
        face = cut_square(photo, square, round(square.side * min(photo.shape[:2])))
        # A generator for each photo: with a shared one, variations would depend on which thread comes first.
        random = np.random.default_rng((self._seed or 0, self._epoch, row))
        return augment_photo(face, self._side, random, self._augmentation)


def find_squares(faces: pd.DataFrame, images: Path, image_size: int) -> pd.DataFrame:
    """Return `faces` with the `square` around each face, cut as at inference, or the `problem` if there is none."""
    finder = FaceFinder.load()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = [images / name for name in faces["file_name"]]
        found = list(pool.map(partial(_square, finder=finder, image_size=image_size), paths))
    problems = [result if isinstance(result, str) else None for result in found]
    squares = [None if isinstance(result, str) else result for result in found]
    return faces.assign(
        square=pd.Series(squares, faces.index, object), problem=pd.Series(problems, faces.index, object)
    )


def _square(path: Path, finder: FaceFinder, image_size: int) -> object:
    try:
        face = read_face(path.read_bytes(), finder, image_size)
        # Such a square is in the turned photo, but `FaceBatches` does not turn photos.
        return f"the face is turned by {face.turned_degrees:.0f} degrees" if face.turned_degrees else face.square
    except OSError:
        return "the photo is not there or cannot be read"
    except UnusablePhotoError as unusable:
        return unusable.reason
