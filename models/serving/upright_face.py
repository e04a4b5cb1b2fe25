"""upright_face: find how a face is turned in a photo, by its eyes, nose and mouth, and turn the photo upright."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from models.serving.face_finding import SURE_SCORE, Face, FaceFinder
from models.serving.photo_preprocessing import Pixels, pixels_in_fours

QUARTER_TURNS_DEGREES = (90, 270, 180)
LARGEST_ROLL_DEGREES = 12
"""A face that leans less counts as upright. Faces of split `valid` lean by 10 degrees at most."""
FURTHEST_ROLL_DEGREES = 60
"""Beyond this, starting from another quarter turn is nearer."""
MOST_ROLLS = 2
"""The finder sees only two thirds of the angle of a face that leans by 30 degrees, so one turn is not enough."""

LEAST_ASPECT = 0.9
LEAST_EYE_DISTANCE = 0.72
LARGEST_SKEW_DEGREES = 8
NOSE_HEIGHTS = (0.40, 0.62)
"""These four bound an upright face. Of the faces of split `valid` 0.3 % are outside; turned by 90 degrees 99.5 %, by
180 degrees 94 %."""

EDGE_SHARE = 0.3
"""Padding before a small turn, as a share of the shorter side. With less, a face at the edge loses its corners."""


def roll_degrees(face: Face) -> float:
    """Return the clockwise angle of the line through the eyes: 0 for an upright face."""
    (left_x, left_y), (right_x, right_y) = face.points[:2]
    return math.degrees(math.atan2(right_y - left_y, right_x - left_x))


def stands(face: Face) -> bool:
    """Say whether eyes, nose and mouth are placed as in an upright face that is seen roughly from the front.

    The line from between the eyes to the middle of the mouth is the unit for the distance of the eyes and the height of
    the nose. The skew is how many degrees that line deviates from a right angle to the line through the eyes.
    """
    # As complex numbers a quotient of two lines holds the angle between them and the ratio of their lengths, and
    # `eyes * 1j` points from the eyes straight down, because y grows downwards.
    left_eye, right_eye, nose, left_mouth, right_mouth = (complex(*point) for point in face.points)
    between_eyes, eyes = (left_eye + right_eye) / 2, right_eye - left_eye
    down = (left_mouth + right_mouth) / 2 - between_eyes
    if not eyes or not down:
        return False
    skew = abs(math.degrees(np.angle(down / (eyes * 1j))))
    nose_height = ((nose - between_eyes) / down).real
    return (
        abs(roll_degrees(face)) <= LARGEST_ROLL_DEGREES
        and skew <= LARGEST_SKEW_DEGREES
        and abs(eyes) >= LEAST_EYE_DISTANCE * abs(down)
        and NOSE_HEIGHTS[0] <= nose_height <= NOSE_HEIGHTS[1]
        and face.aspect >= LEAST_ASPECT
    )


def turned_upright(pixels: Pixels, found: list[Face], finder: FaceFinder) -> tuple[float, list[Face]]:
    """Return the counter-clockwise turn, in degrees, that makes a photo's first face upright, and the faces then found.

    `found` are the faces of the photo as it is. They are returned with 0 degrees if the first is upright already, or if
    no turn shows a face that is certain and upright.
    """
    if found and stands(found[0]):
        return 0.0, found
    turns = [turn for turn in _turns(pixels, found, finder) if turn.faces and stands(turn.faces[0])]
    surest = max(turns, key=lambda turn: (turn.evidence, turn.faces[0].score), default=_Turn(0.0, found, 0.0))
    return surest.degrees, surest.faces


def turned(pixels: Pixels, degrees: float) -> Pixels:
    """Turn a photo counter-clockwise. Quarter turns are exact; for others the photo is padded with its edge pixels."""
    if not degrees:
        return pixels
    if degrees % 90 == 0:
        return _turned_by_quarters(pixels, round(degrees / 90))
    beyond = math.ceil(EDGE_SHARE * min(pixels.shape[:2]))
    wider = np.pad(pixels, ((beyond, beyond), (beyond, beyond), (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(wider).rotate(degrees, Image.Resampling.BICUBIC))


def _turned_by_quarters(pixels: Pixels, count: int) -> Pixels:
    """Turn pixels by quarters. Four-byte pixels are moved as one number each, in half the time, and stay four bytes."""
    in_fours = pixels_in_fours(pixels)
    if in_fours is None:
        return np.ascontiguousarray(np.rot90(pixels, count))
    numbers = np.ascontiguousarray(np.rot90(in_fours.view(np.uint32)[..., 0], count))
    return numbers.view(np.uint8).reshape(*numbers.shape, 4)[..., :3]


class _Turn(NamedTuple):
    """A turn that may bring the first face upright."""

    degrees: float
    faces: list[Face]
    """The faces found in the photo after the turn."""
    evidence: float
    """The highest score of a first face on the way there: a face on its head is often found, but hardly as surely."""


def _turns(pixels: Pixels, found: list[Face], finder: FaceFinder) -> Iterator[_Turn]:
    """Yield turns that may bring the first face upright: quarter turns, and from each the roll of the face found."""
    yield from _rolls(pixels, _turn(0.0, found), finder)
    for quarter in QUARTER_TURNS_DEGREES:
        start = _turn(quarter, finder.find(turned(pixels, quarter), SURE_SCORE, is_quick=True))
        yield start
        yield from _rolls(pixels, start, finder)


def _rolls(pixels: Pixels, start: _Turn, finder: FaceFinder) -> Iterator[_Turn]:
    """Yield turns by the first face's roll. They are repeated because the roll is more precise near upright."""
    turn = start
    for _ in range(MOST_ROLLS):
        roll = roll_degrees(turn.faces[0]) if turn.faces else 0.0
        is_small = abs(roll) <= LARGEST_ROLL_DEGREES
        is_far = abs(turn.degrees + roll - start.degrees) > FURTHEST_ROLL_DEGREES
        if is_small or is_far:
            break
        degrees = turn.degrees + roll
        faces = finder.find(turned(pixels, degrees), SURE_SCORE, is_quick=True)
        turn = _turn(degrees, faces, turn.evidence)
        yield turn


def _turn(degrees: float, faces: list[Face], evidence: float = 0.0) -> _Turn:
    return _Turn(degrees, faces, max(evidence, faces[0].score if faces else 0.0))
