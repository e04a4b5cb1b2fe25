import json

import numpy as np
import pytest
from scipy.optimize import check_grad

from models.serving.model_versions import MODEL_VERSIONS, PINNED_SHA256, SHIFT_CALIBRATION, shift_calibration_path
from models.training.fit_shift_calibration import BIAS_KNOTS_YEARS, _loss, calibrate, fit, usual_mix
from tests.given.simulated_buyers import draw_ages, seen, trained_ages


def photos(count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    ages = draw_ages(trained_ages(), count, random)
    return seen(ages, random), ages


def test_distributions_that_are_right_are_left_as_they_are() -> None:
    distributions, ages = photos(6000)
    fitted = fit(distributions, ages, np.ones(len(ages)), usual_weight=0.0)
    assert fitted.exponent == pytest.approx(1.0, abs=0.06)
    assert np.abs(np.array(fitted.bias)[15:70]).max() < 0.35
    assert np.abs(np.array(fitted.prior) - trained_ages()).sum() < 0.15


def test_distributions_that_are_too_sure_are_softened() -> None:
    distributions, ages = photos()
    too_sure = distributions**2 / (distributions**2).sum(axis=1, keepdims=True)
    assert fit(too_sure, ages, np.ones(len(ages))).exponent == pytest.approx(0.5, abs=0.06)


def test_the_gradient_is_that_of_the_loss() -> None:
    distributions, ages = photos(50)
    knots = np.random.default_rng(2).normal(size=(101, len(BIAS_KNOTS_YEARS)))
    rest = (np.log(distributions + 1e-12), ages, np.full(50, 0.02), knots)
    at = np.random.default_rng(3).normal(size=1 + len(BIAS_KNOTS_YEARS)) / 5
    error = check_grad(lambda x: _loss(x, *rest)[0], lambda x: _loss(x, *rest)[1], at)
    assert error < 1e-5


def test_a_photo_that_counts_twice_is_two_photos() -> None:
    distributions, ages = photos(300)
    times = np.where(np.arange(300) < 100, 2.0, 1.0)
    rows = np.repeat(np.arange(300), times.astype(int))
    twice, repeated = fit(distributions, ages, times), fit(distributions[rows], ages[rows], np.ones(400))
    assert twice.exponent == pytest.approx(repeated.exponent, abs=1e-3)
    assert np.allclose(twice.bias, repeated.bias, atol=5e-3)


def test_the_same_photos_give_the_same_calibration_and_near_duplicates_are_drawn_together() -> None:
    distributions, ages = photos(200)
    alone = np.arange(200).astype(str)
    once = calibrate(distributions, ages, alone, replicates=2)
    assert json.dumps(once) == json.dumps(calibrate(distributions, ages, alone, replicates=2))
    assert once["photo_count"] == 200
    all_one_person = calibrate(distributions, ages, np.full(200, "one"), replicates=2)
    assert all_one_person["replicates"] == [{name: once[name] for name in ("exponent", "bias", "prior")}] * 2


def test_usual_buyers_are_mostly_adults() -> None:
    assert usual_mix().sum() == pytest.approx(1.0)
    assert usual_mix()[:18].sum() < 0.1
    assert usual_mix().min() > 0


def test_the_newest_version_has_a_calibration() -> None:
    path = shift_calibration_path(MODEL_VERSIONS[-1])
    assert path is not None
    assert f"{MODEL_VERSIONS[-1]}/{SHIFT_CALIBRATION}" in PINNED_SHA256
    assert len(json.loads(path.read_text())["replicates"]) == 30
