"""jpeg_damage: whether a JPEG that a strict decoder refuses has all its pixels, and these pixels.

libjpeg warns of bytes that it skips as it does of pixels that it makes up. Its warnings have codes, and the code
decides. No Python package hands the codes out: simplejpeg passes on the message of the first warning, and Pillow none.
So a message is turned back into its code, and a photo whose first warning is harmless has to pass a test that needs no
messages: its pixels stay the same when more data follow each run of them. Pixels that change were not in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.photo_format import has_end, pixel_runs, plain_jpeg, with_more_data

HARMLESS_WARNINGS = {
    "JWRN_ADOBE_XFORM": re.compile("Unknown Adobe color transform code"),
    "JWRN_BOGUS_ICC": re.compile("Corrupt JPEG data: bad ICC marker"),
    "JWRN_EXTRANEOUS_DATA": re.compile("Corrupt JPEG data: [0-9]+ extraneous bytes before marker"),
    "JWRN_JFIF_MAJOR": re.compile("Warning: unknown JFIF revision number"),
    "JWRN_NOT_SEQUENTIAL": re.compile("Invalid SOS parameters for sequential JPEG"),
}
"""Warnings after which libjpeg still reads every pixel, by their codes in its jerror.h; all others mean damage."""

UNKNOWN_SAMPLING = "Could not determine subsampling"
"""simplejpeg knows the usual sampling layouts only and says this of the others, sound or not."""

MOST_RUNS_TESTED = 256
UNREAD_BYTES = 6
"""Fewer bytes may hold nothing that shows in the pixels."""

Pixels = NDArray[np.uint8]

Decode = Callable[[bytes], Pixels]
"""JPEG ► all its pixels; what is missing is filled in."""


def decode_with_warnings(
    photo: bytes, refusal: ValueError, strict: Decode, lenient: Decode, any_layout: Decode
) -> Pixels:
    """Decode a JPEG that `strict` has refused, if all that is wrong with it leaves every pixel there.

    `any_layout` decodes layouts that `strict` and `lenient` do not know.
    Raises ValueError for a photo that was cut, whatever closes it, and for one with damaged pixels.
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
    _refuse_unread_data(plain, pixels, any_layout)  # Pillow passes on no warning, so damage has to be looked for
    return pixels


def leaves_every_pixel(message: str) -> bool:
    """Tell whether a decoder's message is a warning of libjpeg that is harmless, or about the layout alone."""
    return UNKNOWN_SAMPLING in message or any(warning.search(message) for warning in HARMLESS_WARNINGS.values())


def _whole_pixels(jpeg: bytes, decode: Decode) -> Pixels:
    """Decode all pixels. Raises ValueError where the decoder asks for data beyond those that the file has."""
    if not has_end(jpeg):
        raise ValueError("it has no end marker")
    pixels = decode(jpeg)
    if not np.array_equal(pixels, decode(with_more_data(jpeg))):
        raise ValueError("it was closed with an end marker before its pixels end")
    return pixels


def _refuse_unread_data(jpeg: bytes, pixels: Pixels, decode: Decode) -> None:
    """Raise ValueError where a run of pixels ends before its data do, as where a damaged code shifts all others."""
    runs = pixel_runs(jpeg)
    for _, end in runs if len(runs) <= MOST_RUNS_TESTED else []:
        if np.array_equal(pixels, decode(jpeg[: end - UNREAD_BYTES] + jpeg[end:])):
            raise ValueError("it has data left over where its pixels end")
