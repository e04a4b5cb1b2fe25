"""photo_statuses: the possible values of estimate_status, and the version of the photo checks. Imports no other module.

Three groups of statuses answer three questions. Do the same bytes always get this status? Was the photo searched for
faces? Is the picture of the face too bad, so that the camera is to blame?
"""

from __future__ import annotations

from enum import StrEnum

PHOTO_CHECKS_VERSION = 3
"""Raise it with every change to decoding, face finding or the checks. Otherwise old estimates are reused."""


class PhotoStatus(StrEnum):
    """The statuses of a photo, published as `estimate_status`: estimated, or the reason why there is no estimate."""

    ESTIMATED = "estimated"
    UNREADABLE_KEY = "unreadable_key"
    MISSING = "missing"
    REPLACED = "replaced"
    UNREADABLE_OBJECT = "unreadable_object"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    NO_FACE = "no_face"
    FACE_TOO_SMALL = "face_too_small"
    FACE_TOO_DARK = "face_too_dark"
    FACE_TOO_BRIGHT = "face_too_bright"
    FACE_LOW_CONTRAST = "face_low_contrast"
    FACE_TOO_BLURRED = "face_too_blurred"
    FACE_DISTORTED = "face_distorted"


UNFIT_FACE_STATUSES = (
    PhotoStatus.FACE_TOO_DARK,
    PhotoStatus.FACE_TOO_BRIGHT,
    PhotoStatus.FACE_LOW_CONTRAST,
    PhotoStatus.FACE_TOO_BLURRED,
    PhotoStatus.FACE_DISTORTED,
)
"""A face was found, but the picture of it is too bad for an age estimate."""

SEARCHED_STATUSES = (
    PhotoStatus.ESTIMATED,
    PhotoStatus.NO_FACE,
    PhotoStatus.FACE_TOO_SMALL,
    *UNFIT_FACE_STATUSES,
)
"""The photo was decoded and searched for faces."""

LASTING_STATUSES = (
    *SEARCHED_STATUSES,
    PhotoStatus.EMPTY,
    PhotoStatus.TOO_SMALL,
    PhotoStatus.NOT_AN_IMAGE,
    PhotoStatus.UNSUPPORTED_FORMAT,
    PhotoStatus.TRUNCATED,
)
"""Statuses that depend on the photo's bytes alone, so they can be reused; all others may differ on the next try."""
