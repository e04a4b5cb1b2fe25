"""jpeg_damage: decode a JPEG that a strict decoder refuses, if the file holds all of its pixels.

libjpeg warns in the same way of bytes that it skips (harmless) and of pixels that it invents (damage). The code of a
warning tells them apart, but no Python package exposes it: simplejpeg passes on the message of the first warning, and
Pillow passes on none. So the message is turned back into its code. If that first warning is harmless, the photo must
pass a second test, which needs no messages: its pixels stay the same when more data follow each run of them. Pixels
that change were not in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.serving.photo_format import (
    has_all_restarts,
    has_end,
    jpeg_frame,
    pixel_runs,
    plain_jpeg,
    restart_interval,
    with_more_data,
    with_whole_mcus,
    without_ends,
)

HARMLESS_WARNINGS = {
    "JWRN_ADOBE_XFORM": re.compile("Unknown Adobe color transform code"),
    "JWRN_BOGUS_ICC": re.compile("Corrupt JPEG data: bad ICC marker"),
    "JWRN_EXTRANEOUS_DATA": re.compile("Corrupt JPEG data: [0-9]+ extraneous bytes before marker"),
    "JWRN_JFIF_MAJOR": re.compile("Warning: unknown JFIF revision number"),
    "JWRN_NOT_SEQUENTIAL": re.compile("Invalid SOS parameters for sequential JPEG"),
}
"""Warnings after which libjpeg still reads every pixel, by their codes in its jerror.h. All others mean damage."""

UNKNOWN_SAMPLING = "Could not determine subsampling"
"""simplejpeg knows only the usual sampling layouts, and refuses all others with this message, sound or not."""

UNREAD_BYTES = 6
"""Bytes taken from the end of a run in a test. Fewer may hold nothing that changes a pixel."""

Pixels = NDArray[np.uint8]

Decode = Callable[[bytes], Pixels]
"""JPEG ► all its pixels; missing ones are filled in."""


def decode_with_warnings(
    photo: bytes, refusal: ValueError, strict: Decode, lenient: Decode, any_layout: Decode
) -> Pixels:
    """Decode a JPEG that `strict` has refused, if its faults leave every pixel intact.

    `any_layout` decodes layouts that `strict` and `lenient` do not know.
    Raises ValueError for a photo that was cut, even if an end marker closes it, and for one with damaged pixels.
    """
    if not leaves_every_pixel(str(refusal)):
        raise refusal
    plain = plain_jpeg(photo)
    try:
        return strict(plain)
    except ValueError as of_pixels:  # junk between segments is gone, so this is about the pixels themselves
        if not leaves_every_pixel(str(of_pixels)):
            raise
        has_known_layout = UNKNOWN_SAMPLING not in str(of_pixels)
    if has_known_layout:
        return _whole_pixels(plain, lenient)
    pixels = _whole_pixels(plain, any_layout)
    # Pillow passes on no warning, so damage has to be looked for.
    _refuse_unread_data(with_whole_mcus(plain), any_layout)
    return pixels


def leaves_every_pixel(message: str) -> bool:
    """Tell whether a decoder's message is a harmless warning of libjpeg, or only about the sampling layout."""
    return UNKNOWN_SAMPLING in message or any(warning.search(message) for warning in HARMLESS_WARNINGS.values())


def _whole_pixels(jpeg: bytes, decode: Decode) -> Pixels:
    """Decode all pixels. Raises ValueError if the decoder needs more data than the file has."""
    if not has_end(jpeg):
        raise ValueError("it has no end marker")
    if not has_all_restarts(jpeg):
        raise ValueError("restarts between its pixels are missing or out of order")
    pixels = decode(jpeg)
    # Missing data may show only in blocks beyond the picture's edge, so compare those too.
    whole = with_whole_mcus(jpeg)
    if not np.array_equal(pixels if whole is jpeg else decode(whole), decode(with_more_data(whole))):
        raise ValueError("it was closed with an end marker before its pixels end")
    return pixels


def _refuse_unread_data(jpeg: bytes, decode: Decode) -> None:
    """Raise ValueError if a run of pixels ends before its data, as when a damaged code shifts all that follow.

    The test removes the ends of every second run at once: pixels of each of these runs have to change.
    """
    runs, frame = pixel_runs(jpeg), jpeg_frame(jpeg)
    if not runs or not frame:
        return
    pixels = decode(jpeg)
    mcu_numbers = np.arange(math.prod(frame.mcu_counts))
    run_numbers = mcu_numbers // max(1, restart_interval(jpeg) or mcu_numbers.size)
    # Two decodes test all runs. Neighbours are not shortened together: upsampling carries colours into the next run.
    for parity in (0, 1):
        tested = [
            number for number, (start, end) in enumerate(runs) if number % 2 == parity and end - start > UNREAD_BYTES
        ]
        if not tested:
            continue
        shorter = decode(without_ends(jpeg, [runs[number] for number in tested], UNREAD_BYTES))
        changed = run_numbers[_changed_mcus(pixels, shorter, frame.mcu_size)]
        if not set(tested) <= set(changed.tolist()):
            raise ValueError("it has data left over where its pixels end")


def _changed_mcus(pixels: Pixels, others: Pixels, mcu_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return, row by row, whether each MCU has a pixel that differs."""
    is_changed = (pixels != others).any(axis=2)
    by_rows = np.logical_or.reduceat(is_changed, range(0, is_changed.shape[0], mcu_size[1]), axis=0)
    return np.logical_or.reduceat(by_rows, range(0, is_changed.shape[1], mcu_size[0]), axis=1).ravel()
