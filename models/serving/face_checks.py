"""face_checks: is the picture of a face good enough for an age estimate? Light, contrast, sharpness, proportions.

A network answers on any pixels: for a face in the dark it confidently says 14 years. The bounds below keep such
answers out of the tables. They were set on faces of split `valid`, original and degraded by code
(`tests.benchmarks.degraded_photos`), to lose few sound faces and to take few adults in bad pictures for minors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.serving.photo_preprocessing import Pixels
from models.serving.photo_statuses import PhotoStatus

CHECKED_SIDE_PIXELS = 112
"""Side of the square that is measured, whatever size the network takes. The bounds below hold for this side only."""

SMALLEST_BRIGHT_GREY = 40
"""Sound faces have 90 or more. With 0.3 of their light 7 % are refused, with 0.12 all."""
SMALLEST_GREY_RANGE = 30
LARGEST_WHITE_SHARE = 0.25
WHITE_GREY = 250
"""Of sound faces 99 % have at most 1 % of white pixels, and none has 15 %; synthetic faces have more."""

SMALLEST_SHARPNESS = 0.015
"""Crops of split `valid` have 0.029 or more. Blurred to a median of 0.019 their error grows by 0.5 years, to 0.014 by
4.6."""
LARGEST_SHARPNESS = 0.23
"""Crops of split `valid` have 0.225 or less. More is noise, as from a camera that raises its gain in the dark."""
SMALLEST_DIRECTED_SHARPNESS = 0.017
SMALLEST_SHARPNESS_RATIO = 0.33
"""Sharpness across by sharpness down. Sound faces have 0.4 to 1.4, faces that move sideways 0.2 to 0.35."""

PROPORTIONS = (0.74, 1.8)
"""Bounds on `FaceTraits.proportion`: a frame squashed to 0.6 of its height has 0.6, one to 0.6 of its width 2."""
SMALLEST_SHARPNESS_OF_A_SQUASHED_FACE = 0.035
BOX_ASPECTS_IN_MOTION = (1.12, 1.42)
"""A face out of proportion counts as blurred by motion if it is unsharp in one direction and its box has a usual shape,
otherwise as squashed. Both are refused: the two constants only choose the name of the fault."""


@dataclass(frozen=True)
class FaceTraits:
    """Measurements of the middle of the square around a face."""

    bright_grey: float
    """Grey value, 0 to 255, that 5 % of the pixels exceed."""
    grey_range: float
    """Grey values between the darkest and the brightest 5 %."""
    white_share: float
    """Share of pixels that are white or nearly white, where the camera recorded no detail."""
    sharpness: float
    """Amount of fine detail as a share of the contrast, 0 to about 1; a photo out of focus has little."""
    sharpness_across: float
    sharpness_down: float
    """The same for detail from side to side, and from top to bottom."""
    aspect: float
    """Height by width of the box around the face."""

    @property
    def sharpness_ratio(self) -> float:
        """Sharpness across by sharpness down."""
        return self.sharpness_across / self.sharpness_down if self.sharpness_down else 1.0

    @property
    def proportion(self) -> float:
        """Height by width of the face, judged by its box and its detail: 1 is usual.

        A frame squashed in height flattens the box and makes detail finer from top to bottom than from side to side.
        """
        return self.aspect * math.sqrt(self.sharpness_ratio)


def face_traits(square: Pixels, aspect: float = 1.1) -> FaceTraits:
    """Measure the (side, side, 3) square around a face; `aspect` is the height by width of the face's box, if known."""
    margin = len(square) // 5  # leaves out hair and background, which may be sharp or bright next to a bad face
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
    """Return the status and the reason why a face gives no age estimate, or None if it is good enough."""
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
    """Return the amount of fine detail across, down and both ways, as shares of the contrast.

    Each share is a root mean square divided by the standard deviation of the grey values. The squares are of the
    differences between a grey value and the mean of its neighbours. A square of one colour gets 1: it has nothing
    that could be blurred.
    """
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    grey = red + green + blue
    contrast = float(grey.std())
    if not contrast:
        return 1.0, 1.0, 1.0
    inner = grey[1:-1, 1:-1]
    across = (inner - (grey[1:-1, :-2] + grey[1:-1, 2:]) / 2).ravel()
    down = (inner - (grey[:-2, 1:-1] + grey[2:, 1:-1]) / 2).ravel()
    # Products of vectors take a quarter of the time of three standard deviations. The detail of both ways is the mean
    # (across + down) / 2, so its square follows from the other products.
    squares, products = (float(across @ across), float(down @ down)), float(across @ down)
    sums = (*squares, (sum(squares) + 2 * products) / 4)
    of_row, of_column, of_both = (math.sqrt(total / across.size) / contrast for total in sums)
    return of_row, of_column, of_both
