"""photos: draw distinct checkout photos of nobody by code, or use the photos of a folder."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from models.faces.face_scenes import HEIGHT_PIXELS, WIDTH_PIXELS, draw_scene, paste_face
from models.faces.synthetic_faces import SyntheticFaces
from models.serving.model_versions import weights_path
from models.serving.photo_preprocessing import Pixels

PHOTO_SIZE = (640, 480)
LARGEST_CUT_HEIGHT = HEIGHT_PIXELS
FACE_SIDES_PIXELS = (100, 300)
JPEG_QUALITY = 90
BACKGROUND_COUNT = 12
SEED = 2026
SYNTHETIC_FACES_VERSION = "synthetic_faces-2"
SUFFIXES = (".jpg", ".jpeg", ".png")
PHOTOS_PER_TASK = 50


def drawn_photos(folder: Path, count: int) -> list[Path]:
    """Return `count` photos of a folder; draw missing ones first. A number always gives the same photo."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06}.jpg" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    tasks = [missing[start : start + PHOTOS_PER_TASK] for start in range(0, len(missing), PHOTOS_PER_TASK)]
    if tasks:
        with ProcessPoolExecutor(min(len(tasks), os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
            list(pool.map(_draw, tasks, [folder] * len(tasks)))
    return paths


def own_photos(folder: Path, count: int) -> list[Path]:
    """Return up to `count` photos in a folder and its subfolders, by name."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return found[:count]


def photo_set(photos: Sequence[Path], folder: Path) -> Path:
    """Make a folder of exactly these photos, as hard links if the file system has them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, photo in enumerate(photos):
        _link_or_copy(photo, folder / f"{number:06}{photo.suffix.lower()}")
    return folder


def draw_photo(number: int) -> bytes:
    """Draw the photo of a number: a part of one of a few shops, in its own light, with one face of nobody."""
    random = np.random.default_rng([SEED, 1, number])
    background = _cut(_background(int(random.integers(BACKGROUND_COUNT))), random)
    faces = _faces()
    face = faces.sample(float(random.uniform(faces.youngest_years, faces.oldest_years)), random)
    photo, _ = paste_face(
        background, face, int(random.integers(FACE_SIDES_PIXELS[0], FACE_SIDES_PIXELS[1] + 1)), random
    )
    jpeg = io.BytesIO()
    Image.fromarray(photo).save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return jpeg.getvalue()


def _draw(numbers: Sequence[int], folder: Path) -> None:
    for number in numbers:
        unfinished = folder / f".{number:06}.{os.getpid()}"
        unfinished.write_bytes(draw_photo(number))
        unfinished.replace(folder / f"{number:06}.jpg")


def _cut(scene: Pixels, random: Generator) -> Pixels:
    height = int(random.integers(PHOTO_SIZE[1], LARGEST_CUT_HEIGHT + 1))
    width = height * PHOTO_SIZE[0] // PHOTO_SIZE[1]
    left, top = int(random.integers(WIDTH_PIXELS - width + 1)), int(random.integers(HEIGHT_PIXELS - height + 1))
    cut = Image.fromarray(scene).resize(
        PHOTO_SIZE, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
    )
    return (np.asarray(cut) * random.uniform(0.6, 1.0)).astype(np.uint8)


@lru_cache(maxsize=BACKGROUND_COUNT)
def _background(number: int) -> Pixels:
    return draw_scene(np.random.default_rng([SEED, 0, number]))


@lru_cache(maxsize=1)
def _faces() -> SyntheticFaces:
    return SyntheticFaces.load(weights_path(SYNTHETIC_FACES_VERSION))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
