"""face_crop: choose and cut the square of a photo that the age network sees, given the faces in it.

In the square a face has the same size and place as in UTKFace's aligned crops, which the network was trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL.Image import Resampling

from models.serving.face_finding import Face
from models.serving.photo_preprocessing import Pixels, image_of, pixels_in_fours, pixels_of

SQUARE_PER_FACE_SIDE = 1.10
"""Side of the square divided by the side of the face's box: the median of 30 crops of UTKFace split `train`. With
another value the network sees faces of a size that it was not trained on."""

MIDDLE_BELOW_FACE_SIDES = 0.04
"""Distance of the square's middle below the middle of the face's box, in sides of the box; the same crops' median."""

LARGEST_ASPECT_OF_CROP = 1.15
"""Longer by shorter side. A photo above it is not taken for a crop of a face."""

SMALLEST_OVERLAP_OF_CROP = 0.6
"""A photo is a tight crop if its middle square and the face's square overlap this much (intersection over union)."""


@dataclass(frozen=True)
class Square:
    """A square in shares of the photo's shorter side, from the top left corner; it may reach beyond the photo."""

    left: float
    top: float
    side: float


def middle_square(width: int, height: int) -> Square:
    """Return the largest square in the middle of a photo."""
    shorter = min(width, height)
    return Square((width - shorter) / 2 / shorter, (height - shorter) / 2 / shorter, 1.0)


def face_square(face: Face, width: int, height: int) -> Square:
    """Return the square around a face, with the same margin as in training."""
    shorter = min(width, height)
    side = face.side * SQUARE_PER_FACE_SIDE
    x, y = face.middle
    y += MIDDLE_BELOW_FACE_SIDES * face.side
    return Square((x - side / 2) / shorter, (y - side / 2) / shorter, side / shorter)


def is_tight_crop(face: Face, width: int, height: int) -> bool:
    """Tell whether a photo is already a crop of the face, like UTKFace's photos. Its middle square is then used."""
    return (
        has_shape_of_crop(width, height)
        and overlap(face_square(face, width, height), middle_square(width, height)) >= SMALLEST_OVERLAP_OF_CROP
    )


def has_shape_of_crop(width: int, height: int) -> bool:
    """Tell whether a photo is roughly square."""
    return max(width, height) <= LARGEST_ASPECT_OF_CROP * min(width, height)


def overlap(one: Square, other: Square) -> float:
    """Return the intersection over union of two squares."""
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    return shared / (one.side**2 + other.side**2 - shared)


def cut_square(pixels: Pixels, square: Square, image_size: int) -> Pixels:
    """Cut a square and scale it to (image_size, image_size, 3), antialiased; beyond the photo edge pixels repeat."""
    height, width = pixels.shape[:2]
    shorter = min(width, height)
    left, top, side = square.left * shorter, square.top * shorter, square.side * shorter
    beyond = [max(0, math.ceil(reach)) for reach in (-left, -top, left + side - width, top + side - height)]
    if any(beyond):
        pixels = np.pad(pixels, ((beyond[1], beyond[3]), (beyond[0], beyond[2]), (0, 0)), mode="edge")
    left, top = left + beyond[0], top + beyond[1]
    # Three-byte pixels are copied into Pillow, so first reduce them to the square and its surroundings.
    if pixels_in_fours(pixels) is None:
        reach = math.ceil(side / image_size) + 1  # how far the pixels at its edge are averaged beyond it
        first_column, first_row = (max(0, math.floor(edge) - reach) for edge in (left, top))
        pixels = pixels[first_row : math.ceil(top + side) + reach, first_column : math.ceil(left + side) + reach]
        left, top = left - first_column, top - first_row
    box = (left, top, left + side, top + side)
    return pixels_of(image_of(pixels).resize((image_size, image_size), Resampling.BILINEAR, box=box))
