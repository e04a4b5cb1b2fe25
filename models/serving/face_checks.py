"""face_checks: whether a camera shows a face so that its age can be told: light, contrast, sharpness, proportions.

A network answers on any pixels: to a face in the dark it says 14 years and is sure of it. The bounds below keep such
answers out of the tables. They were set on faces of split `valid`, as they are and degraded by code
(`tests.benchmarks.degraded_photos`), so that few sound faces are lost and few spoilt adults are taken for minors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.serving.photo_preprocessing import Pixels
from models.serving.photo_statuses import PhotoStatus

CHECKED_SIDE_PIXELS = 112
"""Side of the square that is measured, whatever the network takes: the bounds below hold for this one alone."""

SMALLEST_BRIGHT_GREY = 40
"""Of light × 0.3 this refuses 7 %, of × 0.12 all; sound faces have 90 or more."""
SMALLEST_GREY_RANGE = 30
LARGEST_WHITE_SHARE = 0.25
WHITE_GREY = 250
"""Of 100 sound faces 99 have 1 % of white pixels or less, none 15 %; synthetic ones have more."""

SMALLEST_SHARPNESS = 0.015
"""Crops of split `valid` have 0.029 or more; blurred to a median of 0.019 they cost 0.5 years more, to 0.014 4.6."""
LARGEST_SHARPNESS = 0.23
"""Crops of split `valid` have 0.225 or less. More is noise, as of a camera that makes up for darkness with gain."""
SMALLEST_DIRECTED_SHARPNESS = 0.017
SMALLEST_SHARPNESS_RATIO = 0.33
"""Sharpness across by sharpness down: motion across leaves 0.2 to 0.35, sound faces have 0.4 to 1.4."""

PROPORTIONS = (0.74, 1.8)
"""Bounds on `FaceTraits.proportion`: a frame of 0.6 of its height has 0.6, one of 0.6 of its width 2."""
SMALLEST_SHARPNESS_OF_A_SQUASHED_FACE = 0.035
BOX_ASPECTS_IN_MOTION = (1.12, 1.42)
"""A face out of proportion is blurred by motion where it is less sharp in one direction and its box has a usual shape;
else the frame is squashed. Both are refused; this only names the fault."""


@dataclass(frozen=True)
class FaceTraits:
    """What is measured of the middle of the square around a face."""

    bright_grey: float
    """Grey value, 0 to 255, that 5 % of the pixels exceed."""
    grey_range: float
    """Grey values between the darkest and the brightest 5 %."""
    white_share: float
    """Share of the pixels that are white, or as good as: the camera told no more of them."""
    sharpness: float
    """How much fine detail there is as a share of the contrast, 0 to about 1; a photo out of focus has little."""
    sharpness_across: float
    sharpness_down: float
    """The same, of detail from side to side, and from top to bottom."""
    aspect: float
    """Height by width of the box around the face."""

    @property
    def sharpness_ratio(self) -> float:
        """Sharpness across by sharpness down."""
        return self.sharpness_across / self.sharpness_down if self.sharpness_down else 1.0

    @property
    def proportion(self) -> float:
        """Height by width of the face, as its box and the fineness of its detail say: 1 is usual.

        A frame that is squashed flattens the box and makes detail finer from top to bottom than from side to side.
        """
        return self.aspect * math.sqrt(self.sharpness_ratio)


def face_traits(square: Pixels, aspect: float = 1.1) -> FaceTraits:
    """Measure the (side, side, 3) square that was cut around a face; `aspect` is that of the face's box, if known."""
    margin = len(square) // 5
    middle = square[margin:-margin, margin:-margin]
    counts = np.cumsum(Image.fromarray(middle).convert("L").histogram())
    dark, bright = (int(np.searchsorted(counts, share * counts[-1])) for share in (0.05, 0.95))
    across, down, both = _detail(middle)
    return FaceTraits(
        bright_grey=bright,
        grey_range=bright - dark,
        white_share=float(1 - counts[WHITE_GREY - 1] / counts[-1]),
        sharpness=both,
        sharpness_across=across,
        sharpness_down=down,
        aspect=aspect,
    )


def fault(traits: FaceTraits) -> tuple[PhotoStatus, str] | None:
    """Return the status and the reason for which a face gives no age, or None for one that does."""
    if traits.bright_grey < SMALLEST_BRIGHT_GREY:
        words = f"the brightest parts of the face have a grey of {traits.bright_grey:.0f} of 255"
        return PhotoStatus.FACE_TOO_DARK, f"{words}, {SMALLEST_BRIGHT_GREY} is needed"
    if traits.white_share > LARGEST_WHITE_SHARE:
        words = f"{traits.white_share:.0%} of the face is white"
        return PhotoStatus.FACE_TOO_BRIGHT, f"{words}, the limit is {LARGEST_WHITE_SHARE:.0%}"
    if traits.grey_range < SMALLEST_GREY_RANGE:
        words = f"the face has a contrast of {traits.grey_range:.0f} grey values"
        return PhotoStatus.FACE_LOW_CONTRAST, f"{words}, {SMALLEST_GREY_RANGE} are needed"
    if traits.sharpness > LARGEST_SHARPNESS:
        words = f"noise is {traits.sharpness:.2f} of the contrast of the face"
        return PhotoStatus.FACE_LOW_CONTRAST, f"{words}, the limit is {LARGEST_SHARPNESS}"
    return _fault_of_detail(traits)


def _fault_of_detail(traits: FaceTraits) -> tuple[PhotoStatus, str] | None:
    least = min(traits.sharpness_across, traits.sharpness_down)
    if traits.sharpness < SMALLEST_SHARPNESS:
        words = f"the face has a sharpness of {traits.sharpness:.3f}"
        return PhotoStatus.FACE_TOO_BLURRED, f"{words}, {SMALLEST_SHARPNESS} is needed"
    if least < SMALLEST_DIRECTED_SHARPNESS:
        direction = "from side to side" if least == traits.sharpness_across else "from top to bottom"
        words = f"the face has a sharpness of {least:.3f} {direction}"
        return PhotoStatus.FACE_TOO_BLURRED, f"{words}, {SMALLEST_DIRECTED_SHARPNESS} is needed"
    has_proportion = PROPORTIONS[0] <= traits.proportion <= PROPORTIONS[1]
    has_usual_box = BOX_ASPECTS_IN_MOTION[0] <= traits.aspect <= BOX_ASPECTS_IN_MOTION[1]
    if not has_proportion and (least >= SMALLEST_SHARPNESS_OF_A_SQUASHED_FACE or not has_usual_box):
        words = f"the face is {'flat' if traits.proportion < PROPORTIONS[0] else 'narrow'}, as in a squashed frame"
        bounds = f"{PROPORTIONS[0]} to {PROPORTIONS[1]} are taken"
        return PhotoStatus.FACE_DISTORTED, f"{words}: its proportion is {traits.proportion:.2f}, {bounds}"
    if not has_proportion or traits.sharpness_ratio < SMALLEST_SHARPNESS_RATIO:
        words = f"the face is {traits.sharpness_ratio:.2f} times as sharp from side to side as from top to bottom"
        return PhotoStatus.FACE_TOO_BLURRED, f"{words}, as in motion"
    return None


def _detail(pixels: Pixels) -> tuple[float, float, float]:
    """Return how much fine detail there is across, down and both ways, as shares of the contrast.

    Each is the root mean square of grey values' differences from the mean of their neighbours over the standard
    deviation of the grey values. A square of one colour has nothing that could be blurred: 1.
    """
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    grey = red + green + blue
    contrast = float(grey.std())
    if not contrast:
        return 1.0, 1.0, 1.0
    inner = grey[1:-1, 1:-1]
    across = (inner - (grey[1:-1, :-2] + grey[1:-1, 2:]) / 2).ravel()
    down = (inner - (grey[:-2, 1:-1] + grey[2:, 1:-1]) / 2).ravel()
    # Products of vectors take a quarter of the time of three standard deviations.
    squares, products = (float(across @ across), float(down @ down)), float(across @ down)
    sums = (*squares, (sum(squares) + 2 * products) / 4)
    of_row, of_column, of_both = (math.sqrt(total / across.size) / contrast for total in sums)
    return of_row, of_column, of_both
