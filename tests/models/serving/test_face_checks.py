import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.serving.face_checks import face_traits, fault
from models.serving.face_finding import FaceFinder
from models.serving.face_photo import UnusableFaceError, read_face
from models.serving.photo_preprocessing import Pixels
from models.serving.photo_statuses import PhotoStatus
from tests.benchmarks.photo_degradations import degradations
from tests.given.face_photos import drawn_face, photo_bytes, synthetic_face

REFUSED = {
    "light × 0.12": "face_too_dark",
    "light × 0.05": "face_too_dark",
    "over-exposed × 1.8": "face_too_bright",
    "over-exposed × 2.6": "face_too_bright",
    "fog 85%": "face_low_contrast",
    "height × 0.75": "face_distorted",
    "height × 0.6": "face_distorted",
    "width × 0.6": "face_distorted",
    "width × 0.5": "face_distorted",
    "motion across 17 px": "face_too_blurred",
    "motion across 31 px": "face_too_blurred",
    "motion down 31 px": "face_too_blurred",
}
TAKEN = ("light × 0.3", "fog 50%", "fog 70%", "width × 0.75", "motion across 9 px", "turned 30°", "combing 4 px")


def degraded(title: str) -> bytes:
    (degradation,) = [degradation for degradation in degradations() if degradation.title == title]
    return photo_bytes(Image.fromarray(degradation.apply(drawn_face(), 200)), quality=90)


@pytest.mark.parametrize(("title", "status"), REFUSED.items())
def test_a_face_that_the_camera_spoils_gives_no_age_and_the_fault_is_named(
    finder: FaceFinder, title: str, status: str
) -> None:
    with pytest.raises(UnusableFaceError) as caught:
        read_face(degraded(title), finder, 112)
    assert caught.value.status == status
    assert caught.value.face_count == 1


def test_a_face_that_has_all_but_vanished_in_light_gives_no_age(finder: FaceFinder) -> None:
    with pytest.raises(UnusableFaceError) as caught:
        read_face(degraded("over-exposed × 4.0"), finder, 112)
    assert caught.value.status in {"face_too_bright", "no_face"}


@pytest.mark.parametrize("title", TAKEN)
def test_a_face_that_can_still_be_judged_is_not_refused(finder: FaceFinder, title: str) -> None:
    assert read_face(degraded(title), finder, 112).face_count == 1


def test_a_frame_of_half_height_is_put_right_by_the_stretch_of_its_till(finder: FaceFinder) -> None:
    squashed = photo_bytes(Image.fromarray(drawn_face()).resize((200, 100), Image.Resampling.BICUBIC), quality=95)
    with pytest.raises(UnusableFaceError):
        read_face(squashed, finder, 112)
    right = read_face(squashed, finder, 112, stretch=2.0)
    whole = read_face(photo_bytes(Image.fromarray(drawn_face()), quality=95), finder, 112)
    assert right.face_side_pixels == whole.face_side_pixels == 200
    assert np.abs(right.pixels.astype(int) - whole.pixels).mean() < 8


def test_a_frame_of_half_width_is_put_right_by_a_stretch_under_one(finder: FaceFinder) -> None:
    squashed = photo_bytes(Image.fromarray(drawn_face()).resize((100, 200), Image.Resampling.BICUBIC), quality=95)
    assert read_face(squashed, finder, 112, stretch=0.5).face_side_pixels == 200


def test_reasons_name_the_value_and_the_limit() -> None:
    assert reason(drawn_face() // 20) == (
        "face_too_dark",
        "the brightest parts of the face have a grey of 11 of 255, 40 is needed",
    )
    grey = np.full((60, 60, 3), 120, dtype="uint8")
    assert reason(grey) == ("face_low_contrast", "the face has a contrast of 0 grey values, 30 are needed")
    assert reason(grey * 0 + 255) == ("face_too_bright", "100% of the face is white, the limit is 25%")


def reason(square: Pixels) -> tuple[str, str]:
    found = fault(face_traits(square))
    assert found
    return str(found[0]), found[1]


@pytest.mark.parametrize("spread", [50, 80])
def test_a_face_in_noise_gives_no_age(finder: FaceFinder, spread: int) -> None:
    noise = np.random.default_rng(1).normal(0, spread, drawn_face().shape)
    noisy = (drawn_face() + noise).clip(0, 255).astype("uint8")
    with pytest.raises(UnusableFaceError, match=r"noise is 0\.\d+ of the contrast of the face, the limit is 0\.23"):
        read_face(photo_bytes(Image.fromarray(noisy), quality=90), finder, 112)


@pytest.mark.parametrize("person", range(6))
def test_sound_faces_have_no_fault(person: int) -> None:
    assert fault(face_traits(synthetic_face(person))) is None


def test_a_blurred_square_is_less_sharp_and_brightness_makes_no_difference() -> None:
    noise = np.random.default_rng(0).integers(0, 100, (60, 60, 3), dtype="uint8")
    blurred = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))
    assert face_traits(np.asarray(blurred)).sharpness < 0.3 * face_traits(noise).sharpness
    assert face_traits(noise * 2).sharpness == pytest.approx(face_traits(noise).sharpness)


def test_a_square_of_one_colour_has_nothing_that_could_be_blurred() -> None:
    assert face_traits(np.full((20, 20, 3), 7, dtype="uint8")).sharpness == 1


def test_sharpness_is_told_apart_by_direction() -> None:
    stripes = np.zeros((60, 60, 3), dtype="uint8")
    stripes[:, ::2] = 255
    traits = face_traits(stripes)
    assert traits.sharpness_across > 0.9
    assert traits.sharpness_down == 0
    found = fault(traits)
    assert found
    assert found[0] == PhotoStatus.FACE_TOO_BRIGHT
