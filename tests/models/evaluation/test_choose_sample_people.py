from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.choose_sample_people import (
    FEWEST_OF_AN_AGE,
    OLDEST_YEARS,
    YOUNGEST_YEARS,
    assigned,
    draw,
    matched,
    moved,
    wanted_answers,
)
from models.serving.age_distribution import YEARS_OF_AGE, Floats


def answer_at(age_years: int) -> Floats:
    """An answer that is sure of one year of age."""
    return np.eye(YEARS_OF_AGE)[age_years]


def test_a_moved_answer_is_about_other_ages_and_loses_no_probability() -> None:
    spread = (answer_at(20) + answer_at(99)) / 2
    assert np.flatnonzero(moved(spread, 3)).tolist() == [23, 100]
    assert np.flatnonzero(moved(spread, -25)).tolist() == [0, 74]
    assert moved(spread, 3).sum() == pytest.approx(1)


def test_answers_are_wanted_for_each_age_as_far_off_as_those_of_photos_near_it() -> None:
    ages = np.repeat(np.arange(0, 101, 2), 30)
    answers = np.array([answer_at(min(age + 4, 100)) for age in ages])
    wanted = wanted_answers(ages, answers, np.random.default_rng(1))
    counts = np.bincount(wanted.ages_years)
    assert np.flatnonzero(counts).tolist() == list(range(YOUNGEST_YEARS, OLDEST_YEARS + 1))
    assert counts[YOUNGEST_YEARS : OLDEST_YEARS + 1].min() >= FEWEST_OF_AN_AGE
    assert (wanted.distributions.argmax(axis=1) - wanted.ages_years == 4).all()


def test_each_wanted_answer_gets_faces_of_its_own_the_cheapest_first() -> None:
    costs = np.array([[0.0, 1, 2, 3], [0.0, 5, 6, 7]])
    rows = assigned(lambda answer: costs[answer], 2, 2, np.random.default_rng(1))
    assert len(set(rows.ravel().tolist())) == 4
    assert rows[:, 0].tolist() in ([0, 1], [1, 0])


def test_a_choice_makes_up_for_what_earlier_choices_of_the_same_age_are_off_by() -> None:
    # Of four faces that cost the same, two say a bit too much of the first group and two a bit too little.
    shares = np.array([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6], [0.4, 0.6]])
    wanted_shares = np.full((2, 2), 0.5)
    for seed in range(10):
        rows = matched([lambda _: np.zeros(4)], shares, wanted_shares, np.array([30, 30]), np.random.default_rng(seed))
        assert shares[rows].mean(axis=0) == pytest.approx([0.5, 0.5])


def test_drawn_looks_are_as_far_from_their_mean_as_the_generator_draws_them() -> None:
    draws = draw(500, 7, np.random.default_rng(1))
    assert draws.looks.shape == (500, 7)
    assert set(np.unique(np.abs(draws.looks))) <= set(range(95, 111))
    assert (draws.ages_years.min() >= YOUNGEST_YEARS, draws.ages_years.max() > OLDEST_YEARS) == (True, True)
