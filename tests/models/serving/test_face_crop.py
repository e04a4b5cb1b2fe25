import numpy as np
import pytest
from PIL import Image

from models.serving.face_crop import (
    MIDDLE_BELOW_FACE_SIDES,
    SQUARE_PER_FACE_SIDE,
    Square,
    cut_square,
    face_square,
    is_tight_crop,
    middle_square,
    overlap,
)
from models.serving.face_finding import Face
from models.serving.photo_preprocessing import to_network_input
from tests.given.face_photos import smooth_photo


def face(left: float, top: float, side: float) -> Face:
    return Face(left, top, left + side, top + side, score=0.9)


def test_the_square_around_a_face_has_the_margin_of_the_training_crops() -> None:
    square = face_square(face(300, 200, 100), 1280, 720)
    assert square.side * 720 == pytest.approx(100 * SQUARE_PER_FACE_SIDE)
    assert (square.left + square.side / 2) * 720 == pytest.approx(350)
    assert (square.top + square.side / 2) * 720 == pytest.approx(250 + 100 * MIDDLE_BELOW_FACE_SIDES)


def test_a_square_is_the_same_share_of_the_photo_at_every_scale() -> None:
    large, small = face_square(face(300, 200, 100), 1280, 720), face_square(face(75, 50, 25), 320, 180)
    assert (large.left, large.top, large.side) == pytest.approx((small.left, small.top, small.side))


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        (face(10, 8, 180), (200, 200), True),
        (face(30, 0, 170), (200, 200), True),
        (face(60, 30, 80), (200, 200), False),
        (face(10, 8, 180), (200, 240), False),
        (face(500, 200, 300), (1280, 720), False),
    ],
    ids=["fills the photo", "off-centre", "head and shoulders", "portrait format", "camera photo"],
)
def test_a_square_photo_that_a_face_fills_is_a_tight_crop(box: Face, size: tuple[int, int], expected: bool) -> None:
    assert is_tight_crop(box, *size) is expected


def test_overlap_is_shared_area_over_joint_area() -> None:
    one = Square(0, 0, 1)
    assert overlap(one, one) == 1
    assert overlap(one, Square(0.5, 0, 1)) == pytest.approx(1 / 3)
    assert overlap(one, Square(2, 2, 1)) == 0


@pytest.mark.parametrize("size", [(90, 70), (70, 90), (80, 80)])
def test_the_middle_square_is_cut_as_every_training_photo_was(size: tuple[int, int]) -> None:
    pixels = np.asarray(smooth_photo(*size))
    assert (cut_square(pixels, middle_square(*size), 48) == to_network_input(pixels, 48)).all()


@pytest.mark.parametrize("place", [(0.1, 0.2, 0.3), (0.313, 0, 0.9), (0.8, 0.4, 0.5333), (0.213, 0.4171, 0.05)])
def test_a_square_is_scaled_as_it_would_be_within_the_whole_photo(place: tuple[float, float, float]) -> None:
    in_fours = np.random.default_rng(0).integers(0, 256, (300, 400, 4), dtype=np.uint8)
    photo = in_fours[..., :3].copy()
    left, top, side = (300 * share for share in place)
    box = (left, top, left + side, top + side)
    expected = np.asarray(Image.fromarray(photo).resize((48, 48), Image.Resampling.BILINEAR, box=box))
    assert np.abs(cut_square(photo, Square(*place), 48).astype(int) - expected).max() <= 1
    assert (cut_square(in_fours[..., :3], Square(*place), 48) == expected).all()


def test_a_square_beyond_the_edge_goes_on_with_the_pixels_of_the_edge() -> None:
    pixels = np.zeros((60, 100, 3), dtype="uint8")
    pixels[:, :50] = 200
    cut = cut_square(pixels, Square(-0.5, -0.5, 1), 30)
    assert cut.shape == (30, 30, 3)
    assert (cut == 200).all()
