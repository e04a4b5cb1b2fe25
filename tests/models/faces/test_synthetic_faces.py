from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.faces.synthetic_faces import SyntheticFaces
from models.faces.train_synthetic_faces import TrainingPhotos, fit, mean_face_by_age
from models.serving.model_versions import weights_path

SYNTHETIC_FACES = weights_path("synthetic_faces-2")


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return SyntheticFaces.load(SYNTHETIC_FACES)


def test_a_sample_is_a_square_of_rgb_pixels(faces: SyntheticFaces) -> None:
    pixels = faces.sample(40, np.random.default_rng(1))
    assert (pixels.shape, pixels.dtype) == ((112, 112, 3), np.uint8)
    assert pixels.std() > 20


def test_a_seed_draws_one_face_and_another_seed_another(faces: SyntheticFaces) -> None:
    one, again, other = (faces.sample(40, np.random.default_rng(seed)).astype(int) for seed in (1, 1, 2))
    assert (one == again).all()
    assert np.abs(one - other).mean() > 10


def test_a_face_ages_little_by_little(faces: SyntheticFaces) -> None:
    young, older, old = (faces.sample(age, np.random.default_rng(1)).astype(int) for age in (20, 50, 80))
    assert 0 < np.abs(young - older).mean() < np.abs(young - old).mean()


def test_an_age_under_the_known_ones_is_drawn_as_the_first(faces: SyntheticFaces) -> None:
    assert (faces.mean_face(3) == faces.mean_face(13)).all()


def test_beyond_the_known_ages_a_face_ages_on_as_in_the_last_ten_years(faces: SyntheticFaces) -> None:
    last_years = faces.mean_face(85) - faces.mean_face(75)
    assert faces.mean_face(105) - faces.mean_face(85) == pytest.approx(2 * last_years, abs=0.01)


def test_the_committed_model_is_small(faces: SyntheticFaces) -> None:
    assert len(faces.ageing) + len(faces.looks) + 1 <= 64
    assert SYNTHETIC_FACES.stat().st_size < 4_000_000


def test_the_committed_report_finds_no_sample_near_a_training_photo() -> None:
    privacy = json.loads(SYNTHETIC_FACES.with_suffix(".json").read_text())["privacy"]
    assert privacy["sample_count"] >= 5_000
    whole_photo, face_oval = privacy["whole_photo"], privacy["face_oval"]
    assert whole_photo["sample_distance"]["p0"] > whole_photo["valid_distance"]["p50"]
    assert face_oval["samples_nearer_than_valid_median"] < privacy["sample_count"] / 1_000
    for part in (whole_photo, face_oval):
        assert part["sample_likeness"]["p50"] < part["valid_likeness"]["p50"]


def test_the_committed_report_finds_that_estimated_ages_follow_those_asked_for() -> None:
    assert json.loads(SYNTHETIC_FACES.with_suffix(".json").read_text())["ages"]["correlation"] >= 0.7


def test_pickled_content_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", reference=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        SyntheticFaces.load(tmp_path / "faces.npz")


def test_a_mean_face_leans_on_the_ages_around_it() -> None:
    mean_faces = mean_face_by_age(np.array([[100], [200], [250]], dtype=np.uint8), np.array([20, 24, 80]))
    assert mean_faces[22, 0] == pytest.approx(150, abs=0.1)
    assert mean_faces[80, 0] == pytest.approx(250, abs=0.1)


def test_a_fitted_model_ages_as_its_faces_do() -> None:
    random = np.random.default_rng(1)
    ages_years = random.integers(10, 90, 200)
    faces = random.integers(60, 120, (200, 112 * 112 * 3)).astype(np.uint8)
    faces[:, :150] += ages_years[:, None].astype(np.uint8)
    model = SyntheticFaces.unpack(fit(faces, ages_years, random))
    ageing = model.mean_face(70) - model.mean_face(20)
    assert ageing[:150].mean() > 100
    assert np.abs(ageing[150:].mean()) < 20


def test_the_nearest_training_photo_is_measured_in_pixel_values() -> None:
    photos = TrainingPhotos(np.array([[0, 0], [200, 0], [0, 200], [200, 200]], dtype=np.uint8))
    distance, _ = photos.nearest(np.array([[3, 4], [200, 190]], dtype=np.uint8))
    assert distance.tolist() == [5, 10]


def test_a_caricature_of_a_training_photo_is_like_it_however_far_away() -> None:
    photos = TrainingPhotos(np.array([[90, 100, 100], [110, 100, 100], [100, 60, 140], [100, 140, 60]], dtype=np.uint8))
    distance, likeness = photos.nearest(np.array([[100, 20, 180]], dtype=np.uint8))
    assert distance[0] > 50
    assert likeness[0] == pytest.approx(1)
