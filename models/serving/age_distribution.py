"""age_distribution: logits over years of age ► probabilities, years, an interval, P(under an age). Needs only numpy.

A distribution has one row per person and one column per year of age, 0 to 100. The column of 30 covers the ages from
29.5 to 30.5, so that the mean and the quantiles of a distribution are on the same scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Mass = Floats | Sequence[float] | float
"""Probability mass of a central interval: one number, or (101,) by age."""

YEARS_OF_AGE = 101
"""Ages 0 to 100; older people are counted as 100."""

INTERVAL_COVERAGE = 0.9
"""Share of people with their true age inside their age interval. Committed versions are calibrated for this share."""

POOL_SHARES = np.linspace(0.05, 0.95, 19)
"""Candidate shares of a second opinion; finer steps change the error by less than a hundredth of a year."""

YOUNG_ADULTS_YEARS = (18, 24)
"""First and last age of the young adults, whom a till confuses with minors most easily."""

YOUNG_ADULT_BIAS_YEARS = 1.0
"""Bias in the ages of young adults that is kept on purpose: a smaller one makes the estimates of others worse."""

MOST_CORRECTION = 2.0
"""Bounds the correction for a network that gives everyone nearly the same distribution."""

LEAST_PROBABILITY = 1e-12
"""Floor for the probability of a year of age that both opinions exclude: its logarithm would be infinite."""

INTERVAL_SPREAD_YEARS, INTERVAL_SPREAD_SHARE = 1.0, 1 / 12
"""Interval widths at an age come from people within this spread: about a year, plus 1/12 of the age (few are old)."""


@dataclass(frozen=True)
class AgeSummary:
    """Summary of (n, 101) distributions of n people: three (n,) arrays."""

    estimated_age_years: Floats
    age_interval_low_years: Floats
    age_interval_high_years: Floats


def summarise(distribution: Floats, interval_mass: Mass, young_adult_correction: float = 0.0) -> AgeSummary:
    """Summarise (n, 101) calibrated distributions, of single photos or averaged over the photos of one person.

    The last two arguments belong to the model version (see `fit_interval_mass` and `fit_young_adult_correction`). The
    interval is widened to contain the estimate.
    """
    estimated = corrected_age_years(distribution, young_adult_correction)
    low, high = age_interval_years(distribution, interval_mass)
    return AgeSummary(estimated, np.minimum(low, estimated), np.maximum(high, estimated))


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Turn (n, 101) logits into probabilities by year of age, softened by `temperature`.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    # Subtracting the maximum leaves the quotient as it is and keeps the exponentials from overflowing.
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    normalised: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return normalised


def pooled(
    first: NDArray[np.floating], second: NDArray[np.floating], second_share: float, temperature: float
) -> Floats:
    """Mix two opinions, (n, 101) logits each, and sharpen the mixture by a `temperature` under 1.

    The more the opinions differ, the wider the mixture, so that the estimate is less certain where they disagree. A
    mixture of calibrated opinions is too wide, which the temperature corrects.
    Sources: Stone 1961, "The Opinion Pool"; Ranjan & Gneiting 2010, "Combining Probability Forecasts".
    """
    mixture = (1 - second_share) * probabilities(first) + second_share * probabilities(second)
    return probabilities(np.log(np.maximum(mixture, LEAST_PROBABILITY)), temperature)


def disagreement_years(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Return the distance between the means of two opinions, (n, 101) logits each: (n,) years."""
    apart: Floats = np.abs(expected_age_years(probabilities(first)) - expected_age_years(probabilities(second)))
    return apart


def expected_age_years(distribution: Floats) -> Floats:
    """Return the mean of each (n, 101) distribution: (n,) years."""
    return _expected(distribution, np.arange(distribution.shape[1], dtype=np.float64))


def _expected(distribution: Floats, values: Floats) -> Floats:
    """Return the (n,) means of the (101,) values. A person's mean is the same to the last bit in every batch."""
    # Not `distribution @ values`: a matrix product adds up in an order that depends on the number of rows.
    means: Floats = (distribution * values).sum(axis=1)
    return means


def corrected_age_years(distribution: Floats, young_adult_correction: float) -> Floats:
    """Return the mean of each (n, 101) distribution, lowered for people who may be young adults: (n,) years.

    Means are drawn towards the middle of all ages, so young adults are estimated too old. The mean is lowered by
    `young_adult_correction` × its standard deviation × P(18 to 24). Among all estimates with as small a bias for young
    adults, this one has the least squared error divided by the standard deviation (by a Lagrange multiplier). A person
    who is surely 21 stays 21.
    """
    mean = expected_age_years(distribution)
    years = np.arange(distribution.shape[1], dtype=np.float64)
    # Rounding can leave the variance of a sure distribution just under 0.
    spread_years = np.sqrt(np.maximum(_expected(distribution, years**2) - mean**2, 0.0))
    first, last = YOUNG_ADULTS_YEARS
    corrected = mean - young_adult_correction * spread_years * distribution[:, first : last + 1].sum(axis=1)
    estimated: Floats = np.maximum(corrected, 0.0)
    return estimated


def probability_under(distribution: Floats, age_years: int) -> Floats:
    """Return (n,) P(age < age_years)."""
    probability: Floats = np.clip(distribution[:, :age_years].sum(axis=1), 0.0, 1.0)  # rounding may pass 1
    return probability


def age_interval_years(distribution: Floats, mass: Mass) -> tuple[Floats, Floats]:
    """Return the (n,) ends of the interval around each median: the unbroken run of ages that are not too far out.

    An age is too far out if it is outside the central part of the distribution with that age's `mass`. The mass is one
    number for all ages, or (101,) by age (see `fit_interval_mass`).
    """
    years = np.arange(distribution.shape[1])
    tail = np.broadcast_to((1 - np.asarray(mass)) / 2, years.shape)
    up_to_year = np.cumsum(distribution, axis=1)
    before_year = up_to_year - distribution
    median_year = np.minimum((up_to_year < 0.5).sum(axis=1)[:, None], years[-1])
    # Masses differ by age, so ages that are too far out may have others behind them that are not: stop at the nearest.
    is_too_far = (up_to_year < tail) | (before_year > 1 - tail)
    first = np.where(is_too_far & (years < median_year), years + 1, 0).max(axis=1, initial=0)
    last = np.where(is_too_far & (years > median_year), years - 1, years[-1]).min(axis=1, initial=years[-1])
    low = _edge_years(first, tail, before_year, distribution)
    high = _edge_years(last, 1 - tail, before_year, distribution)
    return low, high


def _edge_years(year: NDArray[np.int64], share: Floats, before_year: Floats, distribution: Floats) -> Floats:
    """Return the age within each `year` at which the cumulative probability reaches that year's `share`."""
    rows = np.arange(len(year))
    # A year may have no probability at all, and its share may be reached outside it: hence the floor and the clip.
    within = (share[year] - before_year[rows, year]) / np.maximum(distribution[rows, year], 1e-12)
    edge: Floats = np.maximum(year - 0.5 + np.clip(within, 0.0, 1.0), 0.0)
    return edge


def fit_temperature(logits: NDArray[np.floating], ages_years: NDArray[np.integer]) -> float:
    """Return the temperature with the smallest negative log likelihood of the (n,) true ages.

    Fit it on photos that are used neither for training nor for evaluation.
    """
    rows = np.arange(len(ages_years))

    def loss(temperature: float) -> float:
        return float(-np.log(probabilities(logits, temperature)[rows, ages_years] + 1e-12).mean())

    # Coarse steps differ by 17 %, so the fine ones reach to both neighbours of the best.
    nearest = min(np.geomspace(0.25, 5.0, 20), key=loss)
    return float(min(nearest * np.geomspace(0.86, 1.16, 20), key=loss))


def fit_pool(
    first: NDArray[np.floating], second: NDArray[np.floating], ages_years: NDArray[np.integer]
) -> tuple[float, float]:
    """Return the share of the second opinion and the temperature with the smallest negative log likelihood.

    `first` and `second` are (n, 101) logits, `ages_years` the (n,) true ages. Fit it on photos that are used neither
    for training nor for evaluation.
    """
    rows = np.arange(len(ages_years))

    def fitted(share: float) -> tuple[float, float, float]:
        mixture = np.log(pooled(first, second, share, 1.0))
        temperature = fit_temperature(mixture, ages_years)
        likelihood = np.log(probabilities(mixture, temperature)[rows, ages_years] + LEAST_PROBABILITY).mean()
        return -float(likelihood), round(share, 2), temperature

    _, share, temperature = min(fitted(share) for share in POOL_SHARES)
    return share, temperature


def fit_young_adult_correction(distribution: Floats, ages_years: NDArray[np.integer]) -> float:
    """Return the correction that leaves young adults estimated YOUNG_ADULT_BIAS_YEARS too old on average.

    It is 0 if their bias is smaller already, or if there are no young adults, and at most MOST_CORRECTION.
    Fit it on photos that are used neither for training nor for evaluation.
    """
    first, last = YOUNG_ADULTS_YEARS
    is_young_adult = (ages_years >= first) & (ages_years <= last)
    if not is_young_adult.any():
        return 0.0
    young_adults = distribution[is_young_adult]
    # Years lowered are proportional to the correction, so a correction of 1 is enough to find the right one.
    plain, corrected = (corrected_age_years(young_adults, correction) for correction in (0.0, 1.0))
    excess_years = (plain - ages_years[is_young_adult]).mean() - YOUNG_ADULT_BIAS_YEARS
    lowered_years = (plain - corrected).mean()
    return float(np.clip(excess_years / max(lowered_years, 1e-9), 0.0, MOST_CORRECTION))


def fit_interval_mass(distribution: Floats, ages_years: NDArray[np.integer]) -> Floats:
    """Return the (101,) masses by age with which intervals contain the true age of 90 % of new people of each age.

    Fit it on photos that are used neither for training nor for evaluation. A person's score is the distance of the true
    age from the middle of their distribution. The mass of an age is a quantile of the scores of people near that age,
    so that intervals cover the old, who are few, as often as the young. Sources: Chernozhukov, Wüthrich & Zhu 2021,
    "Distributional conformal prediction"; Vovk 2013, "Conditional validity of inductive conformal predictors".
    """
    rows = np.arange(len(ages_years))
    up_to_the_middle_of_the_year = (
        np.cumsum(distribution, axis=1)[rows, ages_years] - distribution[rows, ages_years] / 2
    )
    scores = 2 * np.abs(up_to_the_middle_of_the_year - 0.5)
    years = np.arange(distribution.shape[1])
    spread_years = INTERVAL_SPREAD_YEARS + INTERVAL_SPREAD_SHARE * years
    nearness = np.exp(-0.5 * ((years - ages_years[:, None]) / spread_years) ** 2)
    return np.array([_conformal_quantile(scores, weights) for weights in nearness.T])


def _conformal_quantile(scores: Floats, weights: Floats) -> float:
    """Return the weighted 90 % quantile of scores, counting one more, unseen person with the largest possible score."""
    order = np.argsort(scores)
    gathered = np.cumsum(weights[order])
    # + 1.0 is the unseen person, whom the interval is for; without it intervals cover too few new people.
    rank = int(np.searchsorted(gathered, INTERVAL_COVERAGE * (gathered[-1] + 1.0)))
    return float(scores[order[rank]]) if rank < len(scores) else 1.0
