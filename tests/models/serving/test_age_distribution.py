from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.serving.age_distribution import (
    MOST_CORRECTION,
    YEARS_OF_AGE,
    YOUNG_ADULT_BIAS_YEARS,
    age_interval_years,
    corrected_age_years,
    disagreement_years,
    expected_age_years,
    fit_interval_mass,
    fit_pool,
    fit_temperature,
    fit_young_adult_correction,
    pooled,
    probabilities,
    probability_under,
    summarise,
)

LOGITS = arrays(np.float64, (3, YEARS_OF_AGE), elements=st.floats(-50, 50))
YEARS = np.arange(YEARS_OF_AGE)


def distribution_of(shares: dict[int, float]) -> np.ndarray:
    row = np.zeros((1, YEARS_OF_AGE))
    for age_years, share in shares.items():
        row[0, age_years] = share
    return row


def test_equal_logits_are_equal_probabilities() -> None:
    assert probabilities(np.zeros((1, 4))).tolist() == [[0.25, 0.25, 0.25, 0.25]]


def test_a_higher_temperature_is_less_sure() -> None:
    logits = np.log([[0.9, 0.1]])
    assert probabilities(logits).round(6).tolist() == [[0.9, 0.1]]
    assert probabilities(logits, temperature=2.0).round(6).tolist() == [[0.75, 0.25]]


def test_a_person_who_is_surely_30_is_30_give_or_take_half_a_year() -> None:
    surely_30 = distribution_of({30: 1.0})
    assert expected_age_years(surely_30).tolist() == [30.0]
    low, high = age_interval_years(surely_30, 0.9)
    assert low.round(6).tolist() == [29.55]
    assert high.round(6).tolist() == [30.45]


def test_half_17_and_half_25_is_half_under_18_and_wholly_under_26() -> None:
    torn = distribution_of({17: 0.5, 25: 0.5})
    assert expected_age_years(torn).tolist() == [21.0]
    assert [probability_under(torn, years).tolist() for years in (17, 18, 25, 26)] == [[0.0], [0.5], [0.5], [1.0]]


def test_a_summary_holds_years_and_interval() -> None:
    summary = summarise(distribution_of({16: 0.25, 20: 0.5, 40: 0.25}), interval_mass=0.8)
    assert summary.estimated_age_years.tolist() == [24.0]
    assert summary.age_interval_low_years.round(6).tolist() == [15.9]
    assert summary.age_interval_high_years.round(6).tolist() == [40.1]


def test_an_empty_batch_has_an_empty_summary() -> None:
    summary = summarise(np.empty((0, YEARS_OF_AGE)), 0.9)
    assert summary.estimated_age_years.shape == (0,)
    assert summary.age_interval_low_years.shape == (0,)


def test_who_may_be_a_young_adult_is_estimated_younger_by_that_share_of_the_spread() -> None:
    half_20_half_30 = distribution_of({20: 0.5, 30: 0.5})
    assert corrected_age_years(half_20_half_30, 0.8).round(6).tolist() == [25 - 0.8 * 5 * 0.5]


@pytest.mark.parametrize("ages", [{21: 1.0}, {10: 0.5, 16: 0.5}, {25: 0.5, 60: 0.5}])
def test_who_is_surely_of_an_age_or_surely_no_young_adult_keeps_the_mean(ages: dict[int, float]) -> None:
    distribution = distribution_of(ages)
    assert corrected_age_years(distribution, 0.8).round(6).tolist() == expected_age_years(distribution).tolist()


@given(LOGITS, st.floats(0.3, 5.0))
def test_probabilities_are_a_distribution(logits: np.ndarray, temperature: float) -> None:
    distribution = probabilities(logits, temperature)
    assert distribution.min() >= 0
    assert np.allclose(distribution.sum(axis=1), 1)


@given(LOGITS, st.floats(0.0, 1.0), st.floats(0.0, MOST_CORRECTION))
def test_an_interval_holds_its_estimate_and_stays_on_the_scale(
    logits: np.ndarray, mass: float, correction: float
) -> None:
    summary = summarise(probabilities(logits), mass, correction)
    estimated, low, high = astuple(summary)
    assert np.all((low >= 0) & (low <= estimated) & (estimated <= high) & (high <= YEARS_OF_AGE))


@given(LOGITS)
def test_the_probability_of_being_younger_grows_with_the_age_asked_for(logits: np.ndarray) -> None:
    under = np.stack([probability_under(probabilities(logits), years) for years in range(YEARS_OF_AGE + 1)])
    assert np.all(np.diff(under, axis=0) >= -1e-12)
    assert np.all((under >= 0) & (under <= 1))


def people_and_logits(count: int, spread_years: float) -> tuple[np.ndarray, np.ndarray]:
    """Return true ages, and logits of an observer who knows them up to `spread_years` and says so."""
    random = np.random.default_rng(7)
    ages = random.integers(20, 80, count)
    seen = ages + random.normal(0, spread_years, count)
    return ages, -0.5 * ((YEARS - seen[:, None]) / spread_years) ** 2


@pytest.mark.parametrize(("overconfidence", "temperature"), [(1.0, 1.0), (2.0, 2.0), (0.5, 0.5)])
def test_the_fitted_temperature_undoes_wrong_confidence(overconfidence: float, temperature: float) -> None:
    ages, logits = people_and_logits(4000, spread_years=5)
    assert fit_temperature(logits * overconfidence, ages) == pytest.approx(temperature, rel=0.05)


def drawn_to_the_middle(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true ages, and what someone makes of them who is unsure and knows that most people are about 35."""
    ages, logits = people_and_logits(count, spread_years=5)
    return ages, probabilities(logits - 0.5 * ((YEARS - 35) / 10) ** 2)


def test_the_fitted_correction_leaves_further_young_adults_the_bias_that_it_should() -> None:
    ages, distribution = drawn_to_the_middle(8000)
    correction = fit_young_adult_correction(distribution[:4000], ages[:4000])
    is_young_adult = (ages[4000:] >= 18) & (ages[4000:] <= 24)
    plain, corrected = (
        (corrected_age_years(distribution[4000:], each) - ages[4000:])[is_young_adult].mean()
        for each in (0.0, correction)
    )
    assert plain > 2
    assert corrected == pytest.approx(YOUNG_ADULT_BIAS_YEARS, abs=0.4)


def test_nothing_is_corrected_where_young_adults_are_not_too_old_or_there_are_none() -> None:
    ages, logits = people_and_logits(4000, spread_years=5)
    distribution = probabilities(logits)
    assert fit_young_adult_correction(distribution, ages) == 0.0
    assert fit_young_adult_correction(distribution[ages > 24], ages[ages > 24]) == 0.0


def test_a_network_that_says_nothing_is_corrected_within_bounds() -> None:
    assert fit_young_adult_correction(distribution_of({60: 1.0}), np.array([20])) == MOST_CORRECTION


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
def test_fitted_intervals_hold_nine_of_ten_further_people(overconfidence: float) -> None:
    ages, logits = people_and_logits(4000, spread_years=5)
    distribution = probabilities(logits * overconfidence)
    mass = fit_interval_mass(distribution[:2000], ages[:2000])
    low, high = age_interval_years(distribution[2000:], mass)
    assert np.mean((low <= ages[2000:]) & (ages[2000:] <= high)) == pytest.approx(0.9, abs=0.02)


def test_too_few_people_to_promise_nine_of_ten_get_the_widest_interval() -> None:
    ages, logits = people_and_logits(8, spread_years=5)
    assert fit_interval_mass(probabilities(logits), ages).tolist() == [1.0] * YEARS_OF_AGE


def test_fitted_intervals_hold_nine_of_ten_of_each_age_also_where_the_observer_is_worse() -> None:
    random = np.random.default_rng(11)
    ages = random.integers(10, 90, 8000)
    seen = ages + random.normal(0, np.where(ages < 50, 2, 8))
    distribution = probabilities(-0.5 * ((YEARS - seen[:, None]) / 5) ** 2)
    low, high = age_interval_years(distribution[4000:], fit_interval_mass(distribution[:4000], ages[:4000]))
    is_inside = (low <= ages[4000:]) & (ages[4000:] <= high)
    for youngest in (10, 30, 55, 70):
        of_that_age = (ages[4000:] >= youngest) & (ages[4000:] < youngest + 15)
        assert is_inside[of_that_age].mean() == pytest.approx(0.9, abs=0.04)


def test_fitted_intervals_hold_nine_of_ten_people_also_where_other_ages_are_many() -> None:
    ages, logits = people_and_logits(8000, spread_years=5)
    distribution = probabilities(logits)
    low, high = age_interval_years(distribution[4000:], fit_interval_mass(distribution[:4000], ages[:4000]))
    is_inside = (low <= ages[4000:]) & (ages[4000:] <= high)
    mostly_young, mostly_old = 0.9 ** ages[4000:], 1.1 ** ages[4000:]
    for shift in (mostly_young, mostly_old):
        assert np.average(is_inside, weights=shift) == pytest.approx(0.9, abs=0.05)


def test_an_age_beyond_a_gap_is_not_in_the_interval() -> None:
    torn = distribution_of({20: 0.6, 25: 0.3, 70: 0.1})
    wide_for_the_old = np.where(YEARS >= 60, 1.0, 0.7)
    assert summarise(torn, wide_for_the_old).age_interval_high_years.round(2).tolist() == [26.5]  # the estimate


def bell(middle_years: float | np.ndarray, spread_years: float) -> np.ndarray:
    """Return (n, 101) logits of normal distributions around `middle_years`."""
    return -0.5 * ((YEARS - np.atleast_1d(middle_years)[:, None]) / spread_years) ** 2


def spread_years_of(distribution: np.ndarray) -> float:
    return float(np.sqrt((distribution * YEARS**2).sum(axis=1) - expected_age_years(distribution) ** 2)[0])


@given(LOGITS, st.floats(0, 1), st.floats(0.3, 1))
def test_two_equal_opinions_are_that_opinion(logits: np.ndarray, share: float, temperature: float) -> None:
    assert np.allclose(pooled(logits, logits, share, temperature), probabilities(logits, temperature), atol=1e-5)


@given(LOGITS, LOGITS, st.floats(0, 1))
def test_the_mean_of_a_mixture_lies_between_both_opinions(first: np.ndarray, second: np.ndarray, share: float) -> None:
    means = expected_age_years(probabilities(first)), expected_age_years(probabilities(second))
    mixed = expected_age_years(pooled(first, second, share, 1.0))
    assert np.all((np.minimum(*means) - 1e-6 <= mixed) & (mixed <= np.maximum(*means) + 1e-6))


def test_the_further_two_opinions_lie_apart_the_less_sure_is_the_estimate() -> None:
    spreads = [spread_years_of(pooled(bell(30, 4), bell(30 + apart, 4), 0.5, 0.9)) for apart in (0, 5, 10, 20)]
    assert spreads == sorted(spreads)
    assert spreads[3] > 2 * spreads[0]
    assert disagreement_years(bell(30, 4), bell(45, 4)).round(1).tolist() == [15.0]


def test_the_fitted_share_follows_the_opinion_that_knows_more() -> None:
    random = np.random.default_rng(5)
    ages = random.integers(10, 80, 2000)
    poor, good = (bell(ages + random.normal(0, error, len(ages)), error) for error in (8, 4))
    share, temperature = fit_pool(poor, good, ages)
    assert share > 0.6
    assert fit_pool(good, poor, ages)[0] == pytest.approx(1 - share, abs=0.051)
    assert temperature < 1, "a mixture of two calibrated opinions is too wide"


def test_intervals_of_a_mixture_hold_alike_where_opinions_agree_and_where_they_do_not() -> None:
    """Errors of five years, correlated as those of both networks are: 0.77."""
    random = np.random.default_rng(6)
    ages = random.integers(15, 75, 12_000)
    shared = random.normal(0, 4.4, len(ages))
    first, second = (bell(ages + shared + random.normal(0, 2.4, len(ages)), 5) for _ in range(2))
    fitted, further = slice(0, 6000), slice(6000, None)
    share, temperature = fit_pool(first[fitted], second[fitted], ages[fitted])
    mass = fit_interval_mass(pooled(first[fitted], second[fitted], share, temperature), ages[fitted])
    low, high = age_interval_years(pooled(first[further], second[further], share, temperature), mass)
    held = (low <= ages[further]) & (ages[further] <= high)
    by_disagreement = np.array_split(held[np.argsort(disagreement_years(first[further], second[further]))], 5)
    assert all(0.86 <= fifth.mean() <= 0.95 for fifth in by_disagreement)
