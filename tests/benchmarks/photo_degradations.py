"""photo_degradations: spoil photos like cameras do: wrong light, squashed frames, turns, motion, wrong colours.

Each degradation takes (height, width, 3) RGB pixels of 0 to 255 and returns such pixels, perhaps of another size. It
changes the whole photo, as a camera would. Lengths are shares of the face's side, so that a crop and a face in a scene
are degraded equally.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from models.serving.photo_preprocessing import Pixels

FOG_GREY = 200
MOTION_SIDE_PIXELS = 200
"""Lengths of blur and combing are in pixels of a face with this side."""
TURNED_CANVAS_GREY = (110, 110, 110)


@dataclass(frozen=True)
class Degradation:
    """One way a camera spoils a photo, at one strength."""

    name: str
    strength: str
    apply: Callable[[Pixels, int], Pixels]
    """(pixels of the photo, side of the face in it in pixels) ► pixels."""

    @property
    def title(self) -> str:
        return f"{self.name} {self.strength}".strip()


def degradations() -> list[Degradation]:
    """Return every degradation at every strength; equal names are next to each other."""
    return [
        *(Degradation("light", f"× {share}", partial(_light, share=share)) for share in (0.3, 0.12, 0.05)),
        *(Degradation("over-exposed", f"× {share}", partial(_light, share=share)) for share in (1.8, 2.6, 4.0)),
        *(Degradation("fog", f"{share:.0%}", partial(_fog, share=share)) for share in (0.5, 0.7, 0.85)),
        *(Degradation("height", f"× {share}", partial(_stretched, down=share)) for share in (0.75, 0.6, 0.5)),
        *(Degradation("width", f"× {share}", partial(_stretched, across=share)) for share in (0.75, 0.6, 0.5)),
        *(Degradation("turned", f"{degrees}°", partial(_turned, degrees=degrees)) for degrees in (90, 180, 270, 30)),
        *(Degradation("motion across", f"{length} px", partial(_motion, across=length)) for length in (9, 17, 31)),
        *(Degradation("motion down", f"{length} px", partial(_motion, down=length)) for length in (9, 17, 31)),
        Degradation("red and blue swapped", "", lambda pixels, _: pixels[:, :, ::-1]),
        Degradation("negative", "", lambda pixels, _: 255 - pixels),
        *(Degradation("combing", f"{shift} px", partial(_combed, shift=shift)) for shift in (4, 8, 16)),
    ]


def _light(pixels: Pixels, _: int, share: float) -> Pixels:
    return (pixels * share).round().clip(0, 255).astype(np.uint8)


def _fog(pixels: Pixels, _: int, share: float) -> Pixels:
    return (pixels * (1 - share) + FOG_GREY * share).round().astype(np.uint8)


def _stretched(pixels: Pixels, _: int, across: float = 1.0, down: float = 1.0) -> Pixels:
    height, width = pixels.shape[:2]
    size = round(width * across), round(height * down)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _turned(pixels: Pixels, _: int, degrees: int) -> Pixels:
    """Turn the photo counter-clockwise. Right angles are exact; at other angles corners become grey."""
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(pixels, degrees // 90))
    turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=TURNED_CANVAS_GREY)
    return np.asarray(turned)


def _motion(pixels: Pixels, face_side: int, across: int = 1, down: int = 1) -> Pixels:
    """Average each pixel with the pixels that pass over it while the shutter is open."""
    axis, length = (1, across) if across > 1 else (0, down)
    length = max(1, round(length * face_side / MOTION_SIDE_PIXELS))
    padding = [(0, 0)] * 3
    padding[axis] = (length // 2, length - 1 - length // 2)
    sums = np.cumsum(np.pad(pixels.astype(np.float64), padding, mode="edge"), axis=axis)
    sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
    count = pixels.shape[axis]
    moved = (sums.take(range(length, length + count), axis) - sums.take(range(count), axis)) / length
    return moved.round().clip(0, 255).astype(np.uint8)


def _combed(pixels: Pixels, face_side: int, shift: int) -> Pixels:
    """Shift every second row, as when two fields of a moving face are interlaced into one frame."""
    combed = pixels.copy()
    combed[1::2] = np.roll(pixels[1::2], round(shift * face_side / MOTION_SIDE_PIXELS), axis=1)
    return combed
