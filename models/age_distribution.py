"""age_distribution: logits over years of age ► probabilities, years, an interval, P(under an age). numpy only.

A distribution has one row per person and one column per year of age, 0 to 100. The column of 30 stands for the
ages from 29.5 to 30.5, so that mean and quantiles of one distribution speak of the same scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

YEARS_OF_AGE = 101
"""Ages 0 to 100; older people are counted as 100."""

INTERVAL_COVERAGE = 0.9
"""Share of people whose true age an age interval is meant to hold."""


@dataclass(frozen=True)
class AgeSummary:
    """What (n, 101) distributions say about n people: five (n,) arrays."""

    estimated_age_years: Floats
    age_interval_low_years: Floats
    age_interval_high_years: Floats
    under_legal_age_probability: Floats
    under_challenge_age_probability: Floats


def summarise(
    distribution: Floats, legal_age_years: int, challenge_age_years: int, interval_mass: float = INTERVAL_COVERAGE
) -> AgeSummary:
    """Summarise (n, 101) calibrated distributions, of single photos or averaged over the photos of one person.

    `interval_mass` is the calibrated one of the model version (see `fit_interval_mass`).
    """
    low, high = age_interval_years(distribution, interval_mass)
    return AgeSummary(
        estimated_age_years=expected_age_years(distribution),
        age_interval_low_years=low,
        age_interval_high_years=high,
        under_legal_age_probability=probability_under(distribution, legal_age_years),
        under_challenge_age_probability=probability_under(distribution, challenge_age_years),
    )


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Turn (n, 101) logits into probabilities by year of age, softened by `temperature`.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    normalised: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return normalised


def expected_age_years(distribution: Floats) -> Floats:
    """Return the mean of each (n, 101) distribution: (n,) years."""
    years = np.arange(distribution.shape[1], dtype=np.float64)
    mean: Floats = distribution @ years
    return mean


def probability_under(distribution: Floats, age_years: int) -> Floats:
    """Return (n,) P(age < age_years)."""
    probability: Floats = np.clip(distribution[:, :age_years].sum(axis=1), 0.0, 1.0)
    return probability


def age_quantile_years(distribution: Floats, share: float) -> Floats:
    """Return the (n,) age in years under which `share` of each distribution lies, never under 0."""
    cumulative = np.cumsum(distribution, axis=1)
    year = np.minimum((cumulative < share).sum(axis=1), distribution.shape[1] - 1)
    rows = np.arange(len(distribution))
    mass = distribution[rows, year]
    before = cumulative[rows, year] - mass
    within = np.clip((share - before) / np.maximum(mass, 1e-12), 0.0, 1.0)
    years: Floats = np.maximum(year - 0.5 + within, 0.0)
    return years


def age_interval_years(distribution: Floats, mass: float) -> tuple[Floats, Floats]:
    """Return the (n,) ends of the central interval with `mass` of each distribution, widened to hold its mean."""
    mean = expected_age_years(distribution)
    low: Floats = np.minimum(age_quantile_years(distribution, (1 - mass) / 2), mean)
    high: Floats = np.maximum(age_quantile_years(distribution, (1 + mass) / 2), mean)
    return low, high


def fit_temperature(logits: NDArray[np.floating], ages_years: NDArray[np.integer]) -> float:
    """Return the temperature with the smallest negative log likelihood of the (n,) true ages.

    Fit it on photos that trained nothing and that judge nothing.
    """
    candidates = np.geomspace(0.3, 5.0, 200)
    rows = np.arange(len(ages_years))
    losses = [-np.log(probabilities(logits, t)[rows, ages_years] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def fit_interval_mass(distribution: Floats, ages_years: NDArray[np.integer]) -> float:
    """Return the mass that central intervals need so that 90 % of further people like these are inside.

    Fit it on photos that trained nothing and that judge nothing. Source: Chernozhukov, Wüthrich & Zhu 2021,
    "Distributional conformal prediction": the score of a person is how far from the middle of their distribution
    the true age lies; unlike a fixed number of years (Romano, Patterson & Candès 2019), this widens unsure
    intervals by more than sure ones.
    """
    rows = np.arange(len(ages_years))
    up_to_the_middle_of_the_year = (
        np.cumsum(distribution, axis=1)[rows, ages_years] - distribution[rows, ages_years] / 2
    )
    scores = np.sort(2 * np.abs(up_to_the_middle_of_the_year - 0.5))
    rank = int(np.ceil((len(scores) + 1) * INTERVAL_COVERAGE))
    return float(scores[rank - 1]) if rank <= len(scores) else 1.0
