"""photo_preprocessing: photo bytes ► the square of pixels that the network sees, in training and in inference alike.

Photo bytes are hostile: size, format and pixel count are bounded before anything is decoded.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

Image.MAX_IMAGE_PIXELS = None  # Pillow's own bound only warns up to twice its number; PhotoLimits holds without it

Pixels = NDArray[np.uint8]
"""(height, width, 3) RGB, 0–255."""

SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG"}
"""Formats that are read, and how their files begin."""

SMALLEST_SIDE_PIXELS = 32
MOST_SCANS = 64
"""Cameras write one scan or about ten; each passes over all pixels, so that thousands would take minutes."""

QUICK_DIVISORS = (1, 2, 4, 8)
"""Scales at which libjpeg-turbo decodes with vector instructions; at those between it takes longer than for all."""

START_OF_SCAN = b"\xff\xda"
STANDING_ALONE = {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}
"""What follows 0xFF without a length: a 0xFF of the pixels, restarts, begin and end, fill bytes."""

EXIF_ORIENTATION = 0x0112
UPRIGHT = 1
LYING = (5, 6, 7, 8)


@dataclass(frozen=True)
class PhotoLimits:
    """Bounds that are checked before a photo is decoded."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000


DEFAULT_LIMITS = PhotoLimits()


class UnusablePhotoError(Exception):
    """A photo that gives no pixels; `status` is for counting, `reason` for reading."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def decode_photo(photo: bytes, min_side_pixels: int, limits: PhotoLimits = DEFAULT_LIMITS) -> Pixels:
    """Decode a JPEG or PNG to upright RGB pixels.

    A JPEG may come out at a reduced scale, never with a side under `min_side_pixels` that was longer before.
    Raises UnusablePhotoError, and nothing else, with one of the statuses empty, too_large, too_many_pixels,
    too_small, not_an_image and truncated (which counts damaged photos too).
    """
    return decode_sized_photo(photo, min_side_pixels, limits)[0]


def decode_sized_photo(photo: bytes, min_side_pixels: int, limits: PhotoLimits) -> tuple[Pixels, tuple[int, int]]:
    """Do as `decode_photo`, and return the upright photo's width and height before it was reduced too."""
    if not photo:
        raise UnusablePhotoError("empty", "the photo has 0 bytes")
    if len(photo) > limits.max_bytes:
        raise UnusablePhotoError("too_large", f"{len(photo)} bytes, the limit is {limits.max_bytes}")
    image = _open(photo)
    _check_shape(image, limits)
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
        size = (image.height, image.width) if orientation in LYING else image.size
        if image.format == "PNG":
            return _decode_with_pillow(image), size
        _check_scans(photo)
        return _decode_jpeg(photo, image, orientation, min_side_pixels), size
    except Exception as error:
        raise UnusablePhotoError("truncated", f"the {image.format} ends early or is damaged: {error}") from error


def to_network_input(pixels: Pixels, image_size: int) -> Pixels:
    """Cut the middle square and scale it to (image_size, image_size, 3), antialiased."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    square = Image.fromarray(pixels).resize(
        (image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    return np.asarray(square)


def _open(photo: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(photo), formats=tuple(SIGNATURES))
    except Exception as error:
        for name, signature in SIGNATURES.items():
            if photo.startswith(signature):
                raise UnusablePhotoError(
                    "truncated", f"the {name} ends within its header, or that is damaged"
                ) from error
        raise UnusablePhotoError("not_an_image", f"the {len(photo)} bytes are neither JPEG nor PNG") from error


def _check_shape(image: Image.Image, limits: PhotoLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise UnusablePhotoError(
            "too_many_pixels", f"{width} × {height} pixels, the limit is {limits.max_pixels} in all"
        )
    if min(width, height) < SMALLEST_SIDE_PIXELS:
        raise UnusablePhotoError(
            "too_small", f"{width} × {height} pixels, each side needs {SMALLEST_SIDE_PIXELS} or more"
        )


def _check_scans(photo: bytes) -> None:
    scans = photo.count(START_OF_SCAN)
    if scans > MOST_SCANS and (scans := _scan_count(photo)) > MOST_SCANS:
        raise ValueError(f"it has {scans} scans, the limit is {MOST_SCANS}")


def _scan_count(photo: bytes) -> int:
    """Count the scans of a JPEG, going from segment to segment: metadata may hold bytes that look like one."""
    scans, at = 0, 2
    while 0 <= (at := photo.find(b"\xff", at)) < len(photo) - 3:
        marker = photo[at + 1]
        if marker in STANDING_ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        scans += marker == START_OF_SCAN[1]
        at += 2 + int.from_bytes(photo[at + 2 : at + 4], "big")
    return scans


def _decode_jpeg(photo: bytes, image: Image.Image, orientation: int, min_side_pixels: int) -> Pixels:
    """Decode strictly: Pillow takes a photo whose end was cut and closed with a marker, and leaves the rest grey."""
    if image.mode == "CMYK":
        simplejpeg.decode_jpeg(photo, colorspace="CMYK", strict=True)
        return _decode_with_pillow(image)
    reducing = [divisor for divisor in QUICK_DIVISORS if min(image.size) >= divisor * min_side_pixels]
    width, height = (math.ceil(side / max(reducing, default=1)) for side in image.size)
    pixels: Pixels = simplejpeg.decode_jpeg(photo, colorspace="RGB", min_height=height, min_width=width, strict=True)
    if orientation == UPRIGHT:
        return pixels
    turned = Image.fromarray(pixels)
    turned.getexif()[EXIF_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(turned))


def _decode_with_pillow(image: Image.Image) -> Pixels:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype("uint8"))
    return np.asarray(upright.convert("RGB"))
