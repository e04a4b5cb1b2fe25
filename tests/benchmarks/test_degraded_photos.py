from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from models.serving.age_estimator import AgeEstimator
from tests.benchmarks.degraded_photos import Measurement, Place, as_crop, in_scene
from tests.benchmarks.photo_degradations import degradations

AGES = [40, 55, 70]


@pytest.fixture
def measurement(tmp_path: Path) -> Measurement:
    for number, photo in enumerate(synthetic_face_photos()(AGES, [3, 4, 8], 1)):
        (tmp_path / f"{number}.jpg").write_bytes(photo.content)
    faces = pd.DataFrame({"file_name": [f"{number}.jpg" for number in range(3)], "real_age": AGES})
    estimator = AgeEstimator.load("age_resnet50-4", batch_size=4, threads=1)
    return Measurement(estimator, faces.assign(gender="male", race="white"), tmp_path)


@pytest.mark.parametrize("place", [as_crop, in_scene])
def test_sound_faces_are_counted_and_those_who_are_surely_adults_are_degraded(
    measurement: Measurement, place: Place
) -> None:
    figures, adults = measurement.sound(place)
    assert figures["lost"]["of"] == 3
    assert set(adults) <= {0, 1, 2}
    dark = next(degradation for degradation in degradations() if degradation.title == "light × 0.05")
    told = measurement.degraded(place, [0, 1, 2], dark)
    assert told["harm"]["count"] == 0
    assert "estimated" not in told["statuses"]


def test_each_degradation_gives_other_pixels_of_the_size_that_it_says() -> None:
    pixels = np.random.default_rng(0).integers(20, 200, (200, 200, 3), dtype=np.uint8)
    sizes = {"height × 0.5": (100, 200), "width × 0.6": (200, 120)}
    for degradation in degradations():
        spoilt = degradation.apply(pixels, 200)
        assert (spoilt.dtype, spoilt.shape[2]) == (np.uint8, 3)
        assert spoilt.shape[:2] == sizes.get(degradation.title, spoilt.shape[:2])
        assert spoilt.shape != pixels.shape or (spoilt != pixels).any(), degradation.title


def test_motion_averages_along_its_direction_only() -> None:
    rows = np.zeros((200, 200, 3), dtype=np.uint8)
    rows[::2] = 200
    across, down = (
        next(degradation for degradation in degradations() if degradation.title == f"motion {way} 9 px")
        for way in ("across", "down")
    )
    assert (across.apply(rows, 200) == rows).all()
    assert np.ptp(down.apply(rows, 200)[20:-20]) < 30
