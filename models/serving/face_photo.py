"""face_photo: photo bytes ► the square around a face that the network sees, the same in training and in inference.

photo = read_face(content, FaceFinder.load(), image_size=112)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.serving.face_checks import CHECKED_SIDE_PIXELS, face_traits, fault
from models.serving.face_crop import Square, cut_square, face_square, has_shape_of_crop, is_tight_crop, middle_square
from models.serving.face_finding import SMALLEST_SCORE, Face, FaceFinder
from models.serving.photo_preprocessing import (
    DEFAULT_LIMITS,
    PhotoLimits,
    Pixels,
    UnusablePhotoError,
    decode_photo,
    decode_sized_photo,
    image_of,
    pixels_of,
    to_network_input,
)
from models.serving.photo_statuses import PhotoStatus
from models.serving.upright_face import roll_degrees, stands, turned, turned_upright

SEARCHED_SIDE_PIXELS = 360
"""A photo is decoded to at least this shorter side before the search, about that of the finder's fine shapes.
With less, the fine search would miss small faces."""

LARGEST_ASPECT = 64
"""Longer by shorter side of a photo that is searched. A face as wide as the shorter side of a longer one would have ten
pixels in the fine search at most, too few to be found, and turning such a photo about costs seconds."""

SMALLEST_FACE_SQUARE_PIXELS = 30
"""Smaller faces are refused. On split `valid` the mean error grows by 0.3 years at 40 pixels, 0.6 at 30, 2.8 at 20."""

LARGEST_CROP_SIDE_PIXELS = 256
"""Only photos up to this side may pass as a tight crop at a glance or with a low score."""

TIGHT_CROP_CUTS_BOX = 1.18
"""Boxes in tight crops of split `valid` are shorter than boxes of the same faces in scenes by about this factor."""

LARGEST_ROLL_AT_A_GLANCE_DEGREES = 6
"""A glance underestimates the lean: it tells 12 of 15 degrees. Of split `valid` 99 % seem to lean by less than 6."""

LYING_FACE = "eyes, nose and mouth do not lie as in a face that is seen from the front, however the photo is turned"
SMALLEST_SCORE_IN_CROP = 0.2
"""A small square photo is most likely a face that was cut out already, so weaker evidence is enough."""


@dataclass(frozen=True)
class DecodedPhoto:
    """A decoded photo, ready for the face search: upright by its EXIF data and perhaps reduced."""

    pixels: Pixels
    width: int
    height: int
    """Size in pixels of the photo as it was taken, after stretching and before reducing."""
    content: bytes
    limits: PhotoLimits
    stretch: float


@dataclass(frozen=True)
class FacePhoto:
    """The square of pixels for the age network, with facts about the faces in the photo."""

    pixels: Pixels
    """(image_size, image_size, 3)."""
    square: Square
    """Where the pixels were cut."""
    face_count: int | None
    """Faces found in the photo. None when the photo was not searched."""
    face_side_pixels: int | None
    """Side of the square around the face, in pixels of the photo as it was taken."""
    turned_degrees: float = 0.0
    """Degrees by which the photo was turned counter-clockwise, to bring the face upright before the cut."""


class UnusableFaceError(UnusablePhotoError):
    """A photo has no face with an age that can be estimated. The error has the number of faces, and the face's side."""

    def __init__(self, status: str, reason: str, face_count: int, face_side_pixels: int | None = None) -> None:
        super().__init__(status, reason)
        self.face_count = face_count
        self.face_side_pixels = face_side_pixels


def read_face(
    photo: bytes, finder: FaceFinder, image_size: int, limits: PhotoLimits = DEFAULT_LIMITS, stretch: float = 1.0
) -> FacePhoto:
    """Find the most prominent face of a JPEG or PNG and cut the square around it. Of a tight crop, cut the middle.

    `stretch` is the factor by which height must grow relative to width to give faces their proportions.
    Raises UnusablePhotoError as `decode_photo` does, and UnusableFaceError as `cut_face` does.
    """
    return cut_face(decode_to_search(photo, limits, stretch), finder, image_size)


def decode_to_search(photo: bytes, limits: PhotoLimits = DEFAULT_LIMITS, stretch: float = 1.0) -> DecodedPhoto:
    """Decode a JPEG or PNG at the scale of the face search.

    Raises UnusablePhotoError as `decode_photo` does.
    """
    pixels, size = decode_sized_photo(photo, SEARCHED_SIDE_PIXELS, limits)
    width, height = stretched_size(size, stretch)
    return DecodedPhoto(stretched(pixels, stretch), width, height, photo, limits, stretch)


def cut_face(photo: DecodedPhoto, finder: FaceFinder, image_size: int) -> FacePhoto:
    """Find the most prominent face, turn it upright and cut the square around it; a tight crop gives its middle square.

    The photo is decoded again only if it was reduced so far that the square would be scaled up.
    Raises UnusableFaceError with one of the statuses no_face, face_too_small, and those of `face_checks.fault`.
    """
    is_searched = max(photo.width, photo.height) <= LARGEST_ASPECT * min(photo.width, photo.height)
    degrees, faces = _upright_faces(photo.pixels, finder) if is_searched else (0.0, [])
    if not faces:
        raise UnusableFaceError(
            PhotoStatus.NO_FACE, f"no face was found in the {photo.width} × {photo.height} pixels", 0
        )
    searched = turned(photo.pixels, degrees)
    square = _square(faces[0], searched)
    # Judge the face by the camera's pixels, not by those that were left after decoding at a reduced scale.
    side_pixels = round(square.side * min(searched.shape[:2]) * photo.width / photo.pixels.shape[1])
    if side_pixels < SMALLEST_FACE_SQUARE_PIXELS:
        reason = f"the square around the face has {side_pixels} pixels a side, {SMALLEST_FACE_SQUARE_PIXELS} are needed"
        raise UnusableFaceError(PhotoStatus.FACE_TOO_SMALL, reason, len(faces), side_pixels)
    # The search needs few pixels, the network may need more: a face that would be scaled up is decoded again, finer.
    whole = _at_least(photo, math.ceil(max(image_size, CHECKED_SIDE_PIXELS) / square.side))
    upright = searched if whole is photo.pixels else turned(whole, degrees)
    pixels = cut_square(upright, square, image_size)
    # The bounds of `face_checks` hold at one size only, whatever size the network takes.
    checked = pixels if image_size == CHECKED_SIDE_PIXELS else cut_square(upright, square, CHECKED_SIDE_PIXELS)
    if found := fault(face_traits(checked, _aspect(faces[0], searched))):
        raise UnusableFaceError(*found, len(faces), side_pixels)
    if not stands(faces[0]):
        raise UnusableFaceError(PhotoStatus.FACE_DISTORTED, LYING_FACE, len(faces), side_pixels)
    return FacePhoto(pixels, square, len(faces), side_pixels, degrees)


def read_crop(photo: bytes, image_size: int, limits: PhotoLimits = DEFAULT_LIMITS) -> FacePhoto:
    """Cut the middle square of a photo that is known to be a tight crop of one face, without a search.

    Raises UnusablePhotoError as `decode_photo` does.
    """
    pixels = decode_photo(photo, image_size, limits)
    height, width = pixels.shape[:2]
    return FacePhoto(to_network_input(pixels, image_size), middle_square(width, height), None, None)


def stretched(pixels: Pixels, stretch: float) -> Pixels:
    """Undo a camera's squashing: add rows for a stretch over 1, columns for a stretch under 1."""
    height, width = pixels.shape[:2]
    size = stretched_size((width, height), stretch)
    return pixels if size == (width, height) else pixels_of(image_of(pixels).resize(size))


def stretched_size(size: tuple[int, int], stretch: float) -> tuple[int, int]:
    """Return the (width, height) of a photo after stretching."""
    width, height = size
    return round(width * max(1.0, 1 / stretch)), round(height * max(1.0, stretch))


def _at_least(photo: DecodedPhoto, side_pixels: int) -> Pixels:
    """Return pixels with a shorter side of at least `side_pixels`, or of the photo's full size if it has less."""
    if min(photo.pixels.shape[:2]) >= min(side_pixels, photo.width, photo.height):
        return photo.pixels
    return stretched(decode_photo(photo.content, side_pixels, photo.limits), photo.stretch)


def _upright_faces(pixels: Pixels, finder: FaceFinder) -> tuple[float, list[Face]]:
    return turned_upright(pixels, _faces(pixels, finder), finder)


def _faces(pixels: Pixels, finder: FaceFinder) -> list[Face]:
    height, width = pixels.shape[:2]
    is_small = max(width, height) <= LARGEST_CROP_SIDE_PIXELS
    glanced = finder.glance(pixels) if is_small and has_shape_of_crop(width, height) else []
    if glanced and _is_plain_crop(glanced[0], width, height):
        return glanced
    faces = finder.find(pixels, SMALLEST_SCORE_IN_CROP)
    sure = [face for face in faces if face.score >= SMALLEST_SCORE]
    # A low score counts only where the face fills the photo: elsewhere it is mostly not a face.
    if sure or not is_small:
        return sure
    return [face for face in faces if is_tight_crop(face, width, height)]


def _is_plain_crop(face: Face, width: int, height: int) -> bool:
    """Tell whether the middle square will be cut, without a turn: then a finer search would change nothing."""
    is_upright = stands(face) and abs(roll_degrees(face)) <= LARGEST_ROLL_AT_A_GLANCE_DEGREES
    return is_upright and is_tight_crop(face, width, height)


def _aspect(face: Face, pixels: Pixels) -> float:
    """Return height by width of a face's box; a box in a tight crop is corrected to that of the face in a scene."""
    height, width = pixels.shape[:2]
    return face.aspect * (TIGHT_CROP_CUTS_BOX if is_tight_crop(face, width, height) else 1)


def _square(face: Face, pixels: Pixels) -> Square:
    height, width = pixels.shape[:2]
    if is_tight_crop(face, width, height):
        return middle_square(width, height)
    return face_square(face, width, height)
