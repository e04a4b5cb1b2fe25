import numpy as np
import pytest

from jobs.ages.age_group_estimates import Estimates
from tests.benchmarks.age_shares import Day, _faces_of, _is_held, _summary


def test_no_face_stands_for_two_buyers_and_each_is_of_the_nearest_age_left():
    face_ages = np.array([20, 30, 30, 60])
    rows = _faces_of(np.array([31, 29, 58]), face_ages, np.random.default_rng(1))
    assert sorted(rows) == [1, 2, 3]
    assert face_ages[rows].tolist() == [30, 30, 60]


def test_an_interval_of_a_rare_group_holds_when_it_ends_low_enough():
    counted = Estimates(*np.array([[[5.0, 5.0, 50.0]], [[4.0, 4.0, 40.0]], [[15.0, 25.0, 60.0]]]))
    assert _is_held(counted, np.array([0.001, 0.001, 0.07]), 1000).tolist() == [True, False, False]


def test_days_are_summed_up_by_their_means():
    summary = _summary([Day(400, 0.2, 0.1, 7), Day(600, 0.1, 0.05, 0)])
    assert summary.transactions == 500
    assert summary.reduction == pytest.approx(0.5)
    assert summary.held_share == 0.5
    assert summary.difference_interval_95 == (pytest.approx(-0.1), pytest.approx(-0.05))
