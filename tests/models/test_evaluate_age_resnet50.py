import numpy as np
import pandas as pd
import pytest
from conftest import photo_bytes, smooth_photo

from models.evaluate_age_resnet50 import evaluate, expected_calibration_error, metrics


def surely(*ages_years: int) -> np.ndarray:
    return np.eye(101)[list(ages_years)]


def test_errors_are_counted_in_years_and_by_band_of_true_age():
    found = metrics(surely(20, 30, 40, 80), np.array([20, 24, 44, 70]), interval_mass=0.9)
    assert (found.mae, found.bias, found.photo_count) == (5.0, 3.0, 4)
    assert (found.within_5_years_share, found.interval_coverage) == (0.5, 0.25)
    assert [(row.age_band, row.photo_count, row.mae, row.bias) for row in found.by_age_band] == [
        ("18-24", 2, 3.0, 3.0),
        ("35-44", 1, 4.0, -4.0),
        ("65+", 1, 10.0, 10.0),
    ]


def test_the_bootstrap_interval_surrounds_the_error_and_is_the_same_each_time():
    errors = np.random.default_rng(1).integers(-10, 11, 400)
    ages = np.full(400, 50)
    one, other = (metrics(surely(*(ages + errors)), ages, interval_mass=0.9) for _ in range(2))
    low, high = one.mae_interval_95
    assert low < one.mae < high
    assert high - low == pytest.approx(2 * 1.96 * np.abs(errors).std() / np.sqrt(400), rel=0.1)
    assert one == other


def test_calibration_error_is_the_gap_between_said_and_seen():
    said = np.array([0.95, 0.95, 0.95, 0.95, 0.15, 0.15])
    happened = np.array([True, True, True, False, False, False])
    assert expected_calibration_error(said, happened) == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0.0


def test_conflicting_labels_are_counted_apart(estimator, tmp_path):
    for seed in range(3):
        (tmp_path / f"{seed}.jpg").write_bytes(photo_bytes(smooth_photo(200, 200, seed)))
    faces = pd.DataFrame(
        {"file_name": ["0.jpg", "1.jpg", "2.jpg"], "real_age": [20, 30, 40], "age_conflict": [0, 0, 1]}
    )
    evaluation = evaluate(estimator, faces, tmp_path)
    counts = {name: evaluation[name]["photo_count"] for name in ("with_conflicting_labels", "with_mirroring")}
    assert evaluation["photo_count"] == 2
    assert counts == {"with_conflicting_labels": 3, "with_mirroring": 2}
    assert evaluation["model_version"] == estimator.version
