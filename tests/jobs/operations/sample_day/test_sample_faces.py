from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from jobs.errors import InputError
from jobs.operations.sample_day.sample_faces import labelled_face_photos, synthetic_face_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four labelled faces: two of 20 years, one of 22, one of 60."""
    (tmp_path / "labels.csv").write_text("file_name,real_age\na.jpg,20\nb.jpg,20\nc.jpg,22\nd.jpg,60\n")
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    return tmp_path


def test_a_labelled_face_is_passed_through_unchanged_with_its_own_age(folder: Path) -> None:
    photos = labelled_face_photos(folder)
    assert list(photos([70], [0], 1)) == [(b"d", 60)]


def test_each_face_near_the_age_is_used_once_before_any_is_used_again(folder: Path) -> None:
    photos = list(labelled_face_photos(folder)([20] * 6, [0] * 6, 1))
    assert {photo.content for photo in photos[:2]} == {b"a", b"b"}
    assert photos[2].content == b"c"
    assert sorted(photo.content for photo in photos) == [b"a", b"a", b"b", b"b", b"c", b"c"]


def test_the_same_seed_takes_the_same_faces_however_often_it_is_asked(folder: Path) -> None:
    photos = labelled_face_photos(folder)
    assert list(photos([20, 20, 60], [0, 1, 2], 5)) == list(photos([20, 20, 60], [0, 1, 2], 5))


def test_utkface_names_serve_as_labels(tmp_path: Path) -> None:
    (tmp_path / "33_1_0_20170109.jpg").write_bytes(b"photo")
    assert list(labelled_face_photos(tmp_path)([30], [0], 1)) == [(b"photo", 33)]


@pytest.mark.parametrize("labels", [None, "file_name,real_age\ngone.jpg,20\n"])
def test_a_folder_without_labelled_photos_is_named_in_the_error(tmp_path: Path, labels: str | None) -> None:
    if labels:
        (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(InputError, match=str(tmp_path)):
        labelled_face_photos(tmp_path)


def test_a_synthetic_face_is_a_jpeg_of_200_pixels() -> None:
    (photo,) = synthetic_face_photos()([35], [0], 1)
    image = Image.open(io.BytesIO(photo.content))
    assert (image.format, image.size, photo.age_years) == ("JPEG", (200, 200), 35)


def test_two_photos_of_a_person_are_more_alike_than_photos_of_two_people() -> None:
    first, again, other = (
        Image.open(io.BytesIO(photo.content)) for photo in synthetic_face_photos()([35] * 3, [7, 7, 8], 1)
    )
    assert 0 < _mean_difference(first, again) < 0.5 * _mean_difference(first, other)


def test_the_same_seed_draws_the_same_synthetic_photos() -> None:
    photos = synthetic_face_photos()
    assert list(photos([20, 60], [0, 1], 5)) == list(photos([20, 60], [0, 1], 5))


def _mean_difference(one: Image.Image, other: Image.Image) -> float:
    pairs = zip(one.convert("L").tobytes(), other.convert("L").tobytes(), strict=True)
    return sum(abs(a - b) for a, b in pairs) / (200 * 200)
