"""photo_preprocessing: photo bytes ► upright RGB pixels, the same in training and in inference.

Photo bytes may be hostile: size, format and pixel count are checked before anything is decoded.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from models.serving.jpeg_damage import decode_with_warnings
from models.serving.photo_format import (
    JPEG_START,
    SIGNATURES,
    fault_of_scans,
    has_damaged_pixels,
    has_end,
    has_frame,
    plain_jpeg,
    plain_png,
    scan_count,
    unsupported_format,
)
from models.serving.photo_statuses import PhotoStatus

Image.MAX_IMAGE_PIXELS = None  # Pillow's own bound only warns up to twice its number; PhotoLimits holds without it
CATCHING_WARNINGS = threading.Lock()

Pixels = NDArray[np.uint8]
"""(height, width, 3) RGB, 0–255."""

READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {"JPEG": JpegImageFile, "PNG": PngImageFile}
"""Pillow's readers by format. `Image.open` would also look for more pictures in a JPEG and warn if they are missing."""

SMALLEST_SIDE_PIXELS = 32
MOST_SCANS = 64
"""Cameras write one scan or about ten. Each scan passes over all pixels, so thousands of them would take minutes."""

QUICK_DIVISORS = (1, 2, 4, 8)
"""Divisors for which libjpeg-turbo has vector instructions. Others take longer than decoding at full size."""

LARGEST_COPIED_PIXELS = 256 * 256
"""Larger photos are decoded to four bytes a pixel, Pillow's own layout: scaling takes longer, but needs no copy first
(`image_of`). For smaller photos the copy is cheaper."""

START_OF_SCAN_BYTES = b"\xff\xda"

EXIF_ORIENTATION = 0x0112
UPRIGHT = 1
LYING = (5, 6, 7, 8)


@dataclass(frozen=True)
class PhotoLimits:
    """Limits of a photo's bytes and pixels, which are checked before it is decoded."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000


DEFAULT_LIMITS = PhotoLimits()


class UnusablePhotoError(Exception):
    """A photo cannot be used. `status` is the estimate_status for tables, `reason` says why in words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def decode_photo(photo: bytes, min_side_pixels: int, limits: PhotoLimits = DEFAULT_LIMITS) -> Pixels:
    """Decode a JPEG or PNG to upright RGB pixels.

    A large photo is reduced by a whole divisor, but no side to less than `min_side_pixels`.
    Raises UnusablePhotoError, and nothing else, with one of the statuses empty, too_large, too_many_pixels,
    too_small, not_an_image, unsupported_format and truncated (which counts damaged photos too).
    """
    return decode_sized_photo(photo, min_side_pixels, limits)[0]


def decode_sized_photo(photo: bytes, min_side_pixels: int, limits: PhotoLimits) -> tuple[Pixels, tuple[int, int]]:
    """Decode as `decode_photo` does; return the pixels, and the upright photo's width and height before reducing."""
    if not photo:
        raise UnusablePhotoError(PhotoStatus.EMPTY, "the photo has 0 bytes")
    if len(photo) > limits.max_bytes:
        raise UnusablePhotoError(PhotoStatus.TOO_LARGE, f"{len(photo)} bytes, the limit is {limits.max_bytes}")
    if photo.startswith(SIGNATURES["PNG"]):
        photo = plain_png(photo)
    elif photo.startswith(JPEG_START) and not photo.startswith(SIGNATURES["JPEG"]) and has_frame(photo):
        photo = plain_jpeg(photo)  # libjpeg skips bytes before the first marker, Pillow does not
    image = _open(photo)
    _check_shape(image, limits)
    try:
        orientation = _orientation(image)
        size = (image.height, image.width) if orientation in LYING else image.size
        if image.format == "PNG":
            if has_damaged_pixels(photo):
                raise ValueError("the checksum of its pixels is wrong")
            return _decode_with_pillow(image, orientation, min_side_pixels), size
        _check_scans(photo)
        return _decode_jpeg(photo, image, orientation, min_side_pixels), size
    except Exception as error:  # decoders raise what they like, and one bad photo must not stop a batch
        _refuse_unsupported(photo)
        raise UnusablePhotoError(
            PhotoStatus.TRUNCATED, f"the {image.format} ends early or is damaged: {error}"
        ) from error


def image_of(pixels: Pixels) -> Image.Image:
    """Return pixels as a Pillow image. Pixels in Pillow's own layout, four bytes each, are not copied."""
    in_fours = pixels_in_fours(pixels)
    if in_fours is None:
        return Image.fromarray(pixels)
    height, width = in_fours.shape[:2]
    return Image.frombuffer("RGBX", (width, height), in_fours, "raw", "RGBX", 0, 1)


def pixels_of(image: Image.Image) -> Pixels:
    """Return an image of `image_of`, perhaps scaled or turned since, as pixels of three bytes."""
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def pixels_in_fours(pixels: Pixels) -> Pixels | None:
    """Return the (height, width, 4) array if pixels are a view of its first three channels, else None."""
    # All of this must hold: Pillow would read the memory of a crop or of another layout as wrong pixels.
    whole, (height, width) = pixels.base, pixels.shape[:2]
    if (
        not isinstance(whole, np.ndarray)
        or whole.nbytes != 4 * height * width
        or not whole.flags.c_contiguous
        or pixels.strides != (4 * width, 4, 1)
        or pixels.__array_interface__["data"] != whole.__array_interface__["data"]
    ):
        return None
    return whole.view(np.uint8).reshape(height, width, 4)


def to_network_input(pixels: Pixels, image_size: int) -> Pixels:
    """Cut the middle square and scale it to (image_size, image_size, 3), antialiased."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    square = image_of(pixels).resize(
        (image_size, image_size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    return pixels_of(square)


def _open(photo: bytes) -> ImageFile.ImageFile:
    """Read the header. If junk between segments makes it unreadable, read it from a copy without junk."""
    name = next((name for name, signature in SIGNATURES.items() if photo.startswith(signature)), None)
    if name is None:
        _refuse_unsupported(photo)
        raise UnusablePhotoError(PhotoStatus.NOT_AN_IMAGE, f"the {len(photo)} bytes are neither JPEG nor PNG")
    for without_junk in (bytes, plain_jpeg):
        try:
            with _without_warnings():
                return READERS[name](io.BytesIO(without_junk(photo)))
        except Exception as error:
            unreadable = error
    _refuse_unsupported(photo)
    reason = f"the {name} ends within its header, or that is damaged"
    raise UnusablePhotoError(PhotoStatus.TRUNCATED, reason) from unreadable


def _refuse_unsupported(photo: bytes) -> None:
    """Raise UnusablePhotoError if the image seems whole but its format is not read."""
    name = unsupported_format(photo)
    # A JPEG without an end was cut: then that is the fault to name, whatever kind of JPEG it is.
    if name and (has_end(photo) or not photo.startswith(SIGNATURES["JPEG"])):
        raise UnusablePhotoError(
            PhotoStatus.UNSUPPORTED_FORMAT, f"the photo's format is {name}; only JPEG of 8 bits and PNG are read"
        )


def _orientation(image: Image.Image) -> int:
    """Return the camera's orientation from EXIF; damaged EXIF data count as upright, since the pixels are sound."""
    try:
        with _without_warnings():
            return int(image.getexif().get(EXIF_ORIENTATION, UPRIGHT))
    except Exception:
        return UPRIGHT


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Drop Pillow's warnings, which name no photo; one thread at a time, because all threads share Python's filters."""
    with CATCHING_WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_shape(image: Image.Image, limits: PhotoLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise UnusablePhotoError(
            PhotoStatus.TOO_MANY_PIXELS, f"{width} × {height} pixels, the limit is {limits.max_pixels} in all"
        )
    if min(width, height) < SMALLEST_SIDE_PIXELS:
        raise UnusablePhotoError(
            PhotoStatus.TOO_SMALL, f"{width} × {height} pixels, each side needs {SMALLEST_SIDE_PIXELS} or more"
        )


def _check_scans(photo: bytes) -> None:
    # Counting bytes is fast and never too low; only a suspicious photo is parsed for its true number of scans.
    scans = photo.count(START_OF_SCAN_BYTES)
    if scans > MOST_SCANS and (scans := scan_count(photo)) > MOST_SCANS:
        raise ValueError(f"it has {scans} scans, the limit is {MOST_SCANS}")
    if fault := fault_of_scans(photo):
        raise ValueError(fault)


def _decode_jpeg(photo: bytes, image: Image.Image, orientation: int, min_side_pixels: int) -> Pixels:
    """Decode strictly: Pillow accepts a photo that was cut and closed with an end marker, and leaves the rest grey."""
    if image.mode == "CMYK":
        # This decode only finds damage. Pillow converts, because it expects Adobe's inverted inks.
        _decode_strictly(photo, partial(simplejpeg.decode_jpeg, colorspace="CMYK"), "CMYK")
        return _decode_with_pillow(image, orientation, min_side_pixels)
    divisor = _quick_divisor(image, min_side_pixels)
    width, height = (math.ceil(side / divisor) for side in image.size)
    colours = "RGBX" if width * height > LARGEST_COPIED_PIXELS else "RGB"
    decode = partial(_decode_colours, colours=colours, min_height=height, min_width=width)
    return _upright(_decode_strictly(photo, decode, "RGB"), orientation)


def _decode_colours(photo: bytes, colours: str, **options: Any) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(photo, colorspace=colours, **options)
    return pixels[..., :3]  # a view: `image_of` finds the four-byte pixels under it


def _decode_strictly(photo: bytes, decode: Callable[..., Pixels], mode: str) -> Pixels:
    """Decode with `decode` of simplejpeg; use Pillow in `mode` for sampling layouts that simplejpeg does not know."""
    strict, lenient = partial(decode, strict=True), partial(decode, strict=False)
    try:
        return strict(photo)
    except ValueError as refusal:
        return decode_with_warnings(photo, refusal, strict, lenient, partial(_decode_any_layout, mode=mode))


def _decode_any_layout(jpeg: bytes, mode: str) -> Pixels:
    """Decode with Pillow, which is slower but lets libjpeg read every sampling layout."""
    return np.asarray(READERS["JPEG"](io.BytesIO(jpeg)).convert(mode))


def _decode_with_pillow(image: Image.Image, orientation: int, min_side_pixels: int) -> Pixels:
    if image.mode.startswith("I"):  # 16-bit greys: Pillow's own conversion would clip them to white
        image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    # All that follows costs by the pixel: a face is searched for four times, turned, before a photo has none.
    reduced = image.convert("RGB").reduce(_quick_divisor(image, min_side_pixels))
    return _upright(np.asarray(reduced), orientation)


def _quick_divisor(image: Image.Image, min_side_pixels: int) -> int:
    """Return by how much a photo may be reduced so that no side has less than `min_side_pixels`."""
    return max((divisor for divisor in QUICK_DIVISORS if min(image.size) >= divisor * min_side_pixels), default=1)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation == UPRIGHT:
        return pixels
    turned = image_of(pixels)
    turned.getexif()[EXIF_ORIENTATION] = orientation
    return pixels_of(ImageOps.exif_transpose(turned))
