import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.faces.face_scenes import draw_scene
from models.serving.face_checks import face_traits
from models.serving.face_crop import cut_square
from models.serving.face_finding import FaceFinder
from models.serving.face_photo import (
    SEARCHED_SIDE_PIXELS,
    SMALLEST_FACE_SQUARE_PIXELS,
    UnusableFaceError,
    cut_face,
    decode_to_search,
    read_crop,
    read_face,
)
from models.serving.photo_preprocessing import (
    PhotoLimits,
    Pixels,
    UnusablePhotoError,
    decode_photo,
    to_network_input,
)
from tests.given.face_photos import drawn_face, exif_orientation, photo_bytes, smooth_photo, synthetic_face

SIDE = 112


def camera_photo(*faces: tuple[int, int, int], blur: float = 0) -> Image.Image:
    """Return a drawn shop of 1280 × 720 pixels with synthetic faces at (left, top, side)."""
    scene = Image.fromarray(draw_scene(np.random.default_rng(1)))
    for person, (left, top, side) in enumerate(faces):
        face = Image.fromarray(synthetic_face(person)).resize((side, side), Image.Resampling.BICUBIC)
        scene.paste(face.filter(ImageFilter.GaussianBlur(blur)), (left, top))
    return scene


def mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def why_unusable(photo: bytes, finder: FaceFinder) -> UnusableFaceError:
    with pytest.raises(UnusableFaceError) as caught:
        read_face(photo, finder, SIDE)
    return caught.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_square_around_a_face_in_a_camera_photo_is_much_like_its_tight_crop(finder: FaceFinder, kind: str) -> None:
    photo = read_face(photo_bytes(camera_photo((700, 200, 240)), kind), finder, SIDE)
    assert photo.pixels.shape == (SIDE, SIDE, 3)
    assert photo.face_count == 1
    assert photo.face_side_pixels == pytest.approx(240, rel=0.2)
    assert mean_difference(photo.pixels, synthetic_face(0)) < 0.7 * mean_difference(photo.pixels, synthetic_face(1))


@pytest.mark.parametrize("person", range(4))
def test_a_tight_crop_gives_its_middle_square_as_if_it_had_not_been_searched(finder: FaceFinder, person: int) -> None:
    crop = photo_bytes(Image.fromarray(synthetic_face(person)).resize((200, 200)))
    photo = read_face(crop, finder, SIDE)
    assert (photo.pixels == to_network_input(decode_photo(crop, SEARCHED_SIDE_PIXELS), SIDE)).all()
    assert mean_difference(photo.pixels, read_crop(crop, SIDE).pixels) < 2
    assert (photo.face_count, photo.face_side_pixels) == (1, 200)


def test_a_tight_crop_that_leans_is_put_upright_although_it_seems_to_stand_at_a_glance(finder: FaceFinder) -> None:
    leaning = Image.fromarray(drawn_face()).rotate(15, Image.Resampling.BICUBIC, expand=True)
    assert read_face(photo_bytes(leaning, quality=95), finder, SIDE).turned_degrees == pytest.approx(-15, abs=5)


def test_a_small_face_in_a_large_photo_is_cut_from_more_pixels_than_were_searched(finder: FaceFinder) -> None:
    large = camera_photo((600, 200, 120)).resize((3840, 2160))
    photo = read_face(photo_bytes(large), finder, SIDE)
    assert photo.face_side_pixels == pytest.approx(360, rel=0.2)
    decoded = decode_to_search(photo_bytes(large))
    assert photo.square.side * min(decoded.pixels.shape[:2]) < SIDE, "else nothing is decoded again"
    from_what_was_searched = cut_square(decoded.pixels, photo.square, SIDE)
    assert face_traits(photo.pixels).sharpness > face_traits(from_what_was_searched).sharpness


def test_of_several_faces_the_largest_is_cut_and_all_are_counted(finder: FaceFinder) -> None:
    photo = read_face(photo_bytes(camera_photo((520, 150, 300), (60, 80, 150), (1050, 500, 150))), finder, SIDE)
    assert photo.face_count == 3
    assert photo.face_side_pixels == pytest.approx(300, rel=0.2)


def test_a_photo_that_lies_on_its_side_is_searched_upright(finder: FaceFinder) -> None:
    lying = camera_photo((600, 200, 300)).transpose(Image.Transpose.ROTATE_90)
    content = photo_bytes(lying, exif=exif_orientation(6))
    decoded = decode_to_search(content)
    assert (lying.size, decoded.width, decoded.height) == ((720, 1280), 1280, 720)
    assert read_face(content, finder, SIDE).face_side_pixels == pytest.approx(300, rel=0.2)


def test_a_photo_without_a_face_says_so(finder: FaceFinder) -> None:
    unusable = why_unusable(photo_bytes(camera_photo()), finder)
    assert (unusable.status, unusable.face_count, unusable.face_side_pixels) == ("no_face", 0, None)
    assert unusable.reason == "no face was found in the 1280 × 720 pixels"


@pytest.mark.parametrize("size", [(200, 200), (96, 96)])
def test_a_small_square_photo_of_something_else_has_no_face(finder: FaceFinder, size: tuple[int, int]) -> None:
    assert why_unusable(photo_bytes(smooth_photo(*size)), finder).status == "no_face"


def test_a_face_of_too_few_pixels_is_refused_with_the_value_and_the_limit(finder: FaceFinder) -> None:
    small = camera_photo((600, 300, 200)).resize((160, 90))
    unusable = why_unusable(photo_bytes(small, "PNG"), finder)
    assert (unusable.status, unusable.face_count) == ("face_too_small", 1)
    assert unusable.reason == (
        f"the square around the face has {unusable.face_side_pixels} pixels a side, "
        f"{SMALLEST_FACE_SQUARE_PIXELS} are needed"
    )


def test_a_blurred_face_is_refused_with_the_value_and_the_limit(finder: FaceFinder) -> None:
    unusable = why_unusable(photo_bytes(camera_photo((400, 100, 400), blur=16)), finder)
    assert (unusable.status, unusable.face_count) == ("face_too_blurred", 1)
    assert unusable.reason.startswith("the face has a sharpness of 0.0")


def test_bounds_are_checked_before_a_photo_is_searched(finder: FaceFinder) -> None:
    with pytest.raises(UnusablePhotoError) as caught:
        read_face(photo_bytes(camera_photo()), finder, SIDE, PhotoLimits(max_pixels=1000))
    assert caught.value.status == "too_many_pixels"


def test_a_photo_too_long_for_any_face_is_not_searched() -> None:
    strip = photo_bytes(Image.new("RGB", (32 * 64 + 1, 32)), "PNG")
    with pytest.raises(UnusableFaceError, match="no face was found in the 2049 × 32 pixels"):
        cut_face(decode_to_search(strip), NoFinder(), SIDE)  # type: ignore[arg-type]


class NoFinder:
    """Fails when it is asked anything."""
