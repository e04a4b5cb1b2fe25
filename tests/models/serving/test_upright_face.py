import numpy as np
import pytest
from PIL import Image

from models.faces.face_scenes import draw_scene
from models.serving.face_finding import Face, FaceFinder
from models.serving.face_photo import read_face
from models.serving.photo_preprocessing import decode_photo, pixels_in_fours
from models.serving.upright_face import roll_degrees, stands, turned
from tests.given.face_photos import committed_estimator, drawn_face, exif_orientation, photo_bytes

UPRIGHT = ((60.0, 60.0), (140.0, 60.0), (100.0, 98.0), (70.0, 135.0), (130.0, 135.0))


def face(points: tuple[tuple[float, float], ...] = UPRIGHT, box: tuple[float, ...] = (15, 3, 180, 190)) -> Face:
    return Face(*box, score=0.9, points=points)


def rotated(degrees: float) -> tuple[tuple[float, float], ...]:
    """Turn the points of an upright face clockwise about its nose."""
    turn = np.exp(1j * np.radians(degrees))
    points = ((complex(*point) - (100 + 98j)) * turn for point in UPRIGHT)
    return tuple((point.real, point.imag) for point in points)


def camera_photo() -> Image.Image:
    scene = Image.fromarray(draw_scene(np.random.default_rng(1))).resize((640, 480))
    scene.paste(Image.fromarray(drawn_face()), (250, 130))
    return scene


def test_the_roll_of_a_face_is_the_angle_of_its_eyes() -> None:
    assert [round(roll_degrees(face(rotated(degrees)))) for degrees in (0, 25, -25)] == [0, 25, -25]


def test_a_face_stands_unless_it_leans_or_its_parts_lie_elsewhere() -> None:
    assert stands(face())
    assert stands(face(rotated(9)))
    assert not stands(face(rotated(20)))
    assert not stands(face(rotated(180)))
    assert not stands(face(tuple((x, 60 + (y - 60) / 2) for x, y in UPRIGHT), (15, 3, 180, 97)))
    assert not stands(face(tuple((100 + (x - 100) / 2, y) for x, y in UPRIGHT)))
    assert not stands(face(((100.0, 100.0),) * 5))


@pytest.mark.parametrize("degrees", [90, 180, 270, 30, -35, 60, 115, 205])
@pytest.mark.parametrize("place", ["crop", "camera photo"])
def test_a_face_that_is_turned_is_put_upright_and_estimated_as_it_would_be(
    finder: FaceFinder, degrees: int, place: str
) -> None:
    upright = Image.fromarray(drawn_face()) if place == "crop" else camera_photo()
    whole, lying = (
        photo_bytes(image, quality=95) for image in (upright, upright.rotate(degrees, Image.Resampling.BICUBIC, True))
    )
    leaning = (read_face(lying, finder, 112).turned_degrees + degrees + 180) % 360 - 180
    assert leaning == pytest.approx(0, abs=0 if degrees % 90 == 0 else 20)
    as_it_is, turned_back = committed_estimator("openvino").estimate([whole, lying])
    assert turned_back.estimate_status == "estimated"
    assert turned_back.estimated_age_years == pytest.approx(as_it_is.estimated_age_years, abs=9)


def test_a_photo_that_lies_by_its_exif_data_and_by_its_camera_too_is_put_upright(finder: FaceFinder) -> None:
    lying = Image.fromarray(drawn_face()).rotate(90)
    assert read_face(photo_bytes(lying, exif=exif_orientation(6)), finder, 112).turned_degrees == 0
    assert read_face(photo_bytes(lying, exif=exif_orientation(8)), finder, 112).turned_degrees == 180


def test_a_photo_without_a_face_has_none_however_it_is_turned(finder: FaceFinder) -> None:
    for seed in range(2):
        scene = draw_scene(np.random.default_rng(100 + seed))
        assert not [face for quarter in range(4) for face in finder.find(turned(scene, 90 * quarter), is_quick=True)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_quarter_turn_is_the_same_for_pixels_of_three_and_of_four_bytes(degrees: int) -> None:
    pixels = decode_photo(photo_bytes(camera_photo()), 480)
    leaning = turned(pixels, degrees)
    assert pixels_in_fours(leaning) is not None
    assert (leaning == turned(pixels.copy(), degrees)).all()


def test_a_quarter_turn_loses_nothing_and_a_small_one_keeps_the_middle() -> None:
    pixels = np.arange(20 * 30 * 3, dtype="uint8").reshape(20, 30, 3)
    assert (turned(turned(pixels, 90), 270) == pixels).all()
    white = np.zeros((40, 40, 3), dtype="uint8")
    white[15:25, 15:25] = 255
    leaning = turned(white, 20)
    height, width = leaning.shape[:2]
    assert leaning[height // 2, width // 2].tolist() == [255] * 3
