"""face_photo: photo bytes ► the square around a face that the network sees, in training and in inference alike.

photo = read_face(content, FaceFinder.load(), image_size=112)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.face_crop import Square, cut_square, face_square, is_tight_crop, middle_square, sharpness
from models.face_finding import SMALLEST_SCORE, Face, FaceFinder
from models.photo_preprocessing import (
    DEFAULT_LIMITS,
    PhotoLimits,
    Pixels,
    UnusablePhotoError,
    decode_photo,
    decode_sized_photo,
    to_network_input,
)

SEARCHED_SIDE_PIXELS = 360
"""Side to which a photo is decoded at the least before it is searched: about that of the finder's fine shapes."""

SMALLEST_FACE_SQUARE_PIXELS = 30
"""On split `valid` the mean error grows by 0.3 years at 40 pixels, 0.6 at 30 and 2.8 at 20."""

SMALLEST_SHARPNESS = 0.015
"""Crops of split `valid` have 0.029 or more; blurred to a median of 0.019 they cost 0.5 years more, to 0.014 4.6."""

LARGEST_CROP_SIDE_PIXELS = 256
SMALLEST_SCORE_IN_CROP = 0.2
"""A small square photo is most likely a face cut out already, so that weaker evidence is enough there."""


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo as it is searched for faces, upright and perhaps reduced."""

    pixels: Pixels
    width: int
    height: int
    """Size in pixels of the photo as it was taken."""
    content: bytes
    limits: PhotoLimits


@dataclass(frozen=True)
class FacePhoto:
    """What the network sees of a photo, and what is known of the faces in it."""

    pixels: Pixels
    """(image_size, image_size, 3)."""
    square: Square
    """Where they were cut."""
    face_count: int | None
    """None for a photo that was not searched."""
    face_side_pixels: int | None
    """Side of the square around the face, in pixels of the photo as it was taken."""


class UnusableFaceError(UnusablePhotoError):
    """A photo without a face to estimate, or with too little of it; what was found of faces is told all the same."""

    def __init__(self, status: str, reason: str, face_count: int, face_side_pixels: int | None = None) -> None:
        super().__init__(status, reason)
        self.face_count = face_count
        self.face_side_pixels = face_side_pixels


def read_face(photo: bytes, finder: FaceFinder, image_size: int, limits: PhotoLimits = DEFAULT_LIMITS) -> FacePhoto:
    """Find the most prominent face of a JPEG or PNG and cut the square around it; a tight crop gives its middle square.

    Raises UnusablePhotoError as `decode_photo` does, and UnusableFaceError as `cut_face` does.
    """
    return cut_face(decode_to_search(photo, limits), finder, image_size)


def decode_to_search(photo: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> DecodedPhoto:
    """Decode a JPEG or PNG at the scale at which it is searched.

    Raises UnusablePhotoError as `decode_photo` does.
    """
    pixels, (width, height) = decode_sized_photo(photo, SEARCHED_SIDE_PIXELS, limits)
    return DecodedPhoto(pixels, width, height, photo, limits)


def cut_face(photo: DecodedPhoto, finder: FaceFinder, image_size: int) -> FacePhoto:
    """Find the most prominent face and cut the square around it; a tight crop gives its middle square.

    The photo is decoded again only if it was reduced so much that the square would be scaled up.
    Raises UnusableFaceError with one of the statuses no_face, face_too_small and face_too_blurred.
    """
    searched, width, height = photo.pixels, photo.width, photo.height
    faces = _faces(searched, finder)
    if not faces:
        raise UnusableFaceError("no_face", f"no face was found in the {width} × {height} pixels", 0)
    square = _square(faces[0], searched)
    side_pixels = round(square.side * min(width, height))
    if side_pixels < SMALLEST_FACE_SQUARE_PIXELS:
        reason = f"the square around the face has {side_pixels} pixels a side, {SMALLEST_FACE_SQUARE_PIXELS} are needed"
        raise UnusableFaceError("face_too_small", reason, len(faces), side_pixels)
    pixels = cut_square(_at_least(photo, math.ceil(image_size / square.side)), square, image_size)
    sharp = sharpness(pixels)
    if sharp < SMALLEST_SHARPNESS:
        reason = f"the face has a sharpness of {sharp:.3f}, {SMALLEST_SHARPNESS} is needed"
        raise UnusableFaceError("face_too_blurred", reason, len(faces), side_pixels)
    return FacePhoto(pixels, square, len(faces), side_pixels)


def read_crop(photo: bytes, image_size: int, limits: PhotoLimits = DEFAULT_LIMITS) -> FacePhoto:
    """Take a photo that is known to be a tight crop of one face, without searching it.

    Raises UnusablePhotoError as `decode_photo` does.
    """
    pixels = decode_photo(photo, image_size, limits)
    height, width = pixels.shape[:2]
    return FacePhoto(to_network_input(pixels, image_size), middle_square(width, height), None, None)


def _at_least(photo: DecodedPhoto, side_pixels: int) -> Pixels:
    """Return the pixels with a shorter side of `side_pixels`, or of what the photo has, at the least."""
    if min(photo.pixels.shape[:2]) >= min(side_pixels, photo.width, photo.height):
        return photo.pixels
    return decode_photo(photo.content, side_pixels, photo.limits)


def _faces(pixels: Pixels, finder: FaceFinder) -> list[Face]:
    faces = finder.find(pixels, SMALLEST_SCORE_IN_CROP)
    sure = [face for face in faces if face.score >= SMALLEST_SCORE]
    if sure or max(pixels.shape[:2]) > LARGEST_CROP_SIDE_PIXELS:
        return sure
    height, width = pixels.shape[:2]
    return [face for face in faces if is_tight_crop(face, width, height)]


def _square(face: Face, pixels: Pixels) -> Square:
    height, width = pixels.shape[:2]
    if is_tight_crop(face, width, height):
        return middle_square(width, height)
    return face_square(face, width, height)
