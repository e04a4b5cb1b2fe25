"""age_metrics: measure the errors of estimated ages and the calibration of their probabilities.

Figures are dicts ready for JSON. Each figure `x` in years or as a share comes with a 95 % interval `x_interval_95`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from models.evaluation.bootstrap import GroupBootstrap, Interval, Rows, percentile_interval
from models.serving.age_distribution import Floats, Mass, probability_under, summarise

Figures = dict[str, Any]

AGE_BANDS = {
    "0-17": (0, 17),
    "18-24": (18, 24),
    "25-34": (25, 34),
    "35-44": (35, 44),
    "45-54": (45, 54),
    "55-64": (55, 64),
    "65+": (65, 200),
}
"""First and last age in whole years of each age group."""

LEGAL_AGE_YEARS = 18
RELIABILITY_AGES_YEARS = (18, 21, 25)
CHALLENGE_AGE_YEARS = 25
CHALLENGE_MINORS_YEARS = (13, 17)
CHALLENGE_BANDS_YEARS = {"13-17": (13, 17), "18-24": (18, 24), "25-34": (25, 34)}
CHALLENGE_DEFINITION = (
    "Challenge 25: whoever is estimated under 25 is asked for a document. As in NIST's evaluation of age estimation "
    "(FATE AEV, NIST IR 8525), a false positive is a person of 13 to 17 estimated at 25 or older, who would pass "
    "unasked; the false positive rate is their share among people of 13 to 17. The price is the share of people of 25 "
    "to 34 who are estimated under 25 and so are challenged though they need not be."
)
PROBABILITY_BINS = 10

ERROR_HEADINGS = ["photos", "MAE, years", "bias, years", "within 5 years", "90 % interval holds", "width, years"]


@dataclass(frozen=True)
class JudgedAges:
    """True and estimated ages of n photos, as arrays of (n,) or (n, 101)."""

    ages: NDArray[np.int64]
    """True ages in years, as labelled."""
    distribution: Floats
    """(n, 101) calibrated probabilities by year of age."""
    estimated: Floats
    """Estimated ages in years."""
    low: Floats
    high: Floats
    """Ends of the 90 % intervals."""

    @classmethod
    def of(
        cls, distribution: Floats, ages: NDArray[np.int64], interval_mass: Mass, young_adult_correction: float = 0.0
    ) -> JudgedAges:
        """Compare (n, 101) age distributions with (n,) true ages; the other arguments are those of `summarise`."""
        return cls(ages, distribution, *astuple(summarise(distribution, interval_mass, young_adult_correction)))

    def rows(self, rows: Rows) -> JudgedAges:
        """Return the same figures for some photos only; `rows` is a mask, or the indices of the photos."""
        return JudgedAges(
            self.ages[rows], self.distribution[rows], self.estimated[rows], self.low[rows], self.high[rows]
        )

    @property
    def errors(self) -> Floats:
        """The (n,) errors in years: estimated minus true age."""
        return self.estimated - self.ages


def metrics(judged: JudgedAges, bootstrap: GroupBootstrap) -> Figures:
    """Return the errors of all photos, the calibration error of P(under the legal age), and the errors by age group."""
    everyone = np.ones(len(judged.ages), dtype=bool)
    calibration = reliability(judged, LEGAL_AGE_YEARS, bootstrap)
    return {
        **error_figures(judged, everyone, bootstrap),
        "under_18_calibration_error": calibration["calibration_error"],
        "under_18_calibration_error_interval_95": calibration["calibration_error_interval_95"],
        "by_age_band": figures_by("age_band", judged, age_band_rows(judged.ages), bootstrap),
    }


def error_figures(judged: JudgedAges, rows: Rows, bootstrap: GroupBootstrap) -> Figures:
    """Return the errors of the photos `rows`: mean absolute error, bias, share within 5 years, intervals.

    The bias is the mean of estimated minus true age; of intervals, coverage and width are returned.
    """
    columns = {
        "mae": np.abs(judged.errors),
        "bias": judged.errors,
        "within_5_years_share": np.abs(judged.errors) <= 5,
        "interval_coverage": (judged.low <= judged.ages) & (judged.ages <= judged.high),
        "interval_width_years": judged.high - judged.low,
    }
    values = np.column_stack(list(columns.values())).astype("float64")
    figures: Figures = {}
    intervals = bootstrap.mean_intervals(values, rows)
    for name, mean, interval in zip(columns, values[rows].mean(axis=0), intervals, strict=True):
        figures |= {name: float(mean), f"{name}_interval_95": interval}
    return {**figures, "photo_count": int(rows.sum())}


def figures_by(kind: str, judged: JudgedAges, groups: dict[str, Rows], bootstrap: GroupBootstrap) -> list[Figures]:
    """Return the errors of each group that has photos, with the group's name under the key `kind`."""
    return [{kind: name, **error_figures(judged, rows, bootstrap)} for name, rows in groups.items() if rows.any()]


def age_band_rows(ages: NDArray[np.int64]) -> dict[str, Rows]:
    """Return, for each age group, a mask of the photos in it."""
    return {name: _between(ages, band) for name, band in AGE_BANDS.items()}


def named_rows(names: Sequence[str | None]) -> dict[str, Rows]:
    """Return, for each name, a mask of the photos that have it. Photos without a name are in no group."""
    array = np.array([name or "" for name in names])
    return {str(name): array == name for name in np.unique(array) if name}


def quantile_bin_rows(values: Floats, bins: int = 4, digits: int = 0) -> dict[str, Rows]:
    """Return, for each of `bins` equally filled bins (named by its ends), a mask of the photos in it.

    Equal values are in one bin. Photos without a value (NaN) are in no bin.
    """
    known = ~np.isnan(values)
    if not known.any():
        return {}
    # A value that is very frequent is several quantiles at once, and so leaves fewer bins.
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, bins + 1)))
    if len(edges) < 2:
        return {f"{edges[0]:.{digits}f}": known}
    bin_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:.{digits}f} to {high:.{digits}f}" for low, high in pairwise(edges)]
    return {name: known & (bin_of == at) for at, name in enumerate(names)}


def confusion(judged: JudgedAges) -> Figures:
    """Count photos by true age group (rows) and estimated age group (columns)."""
    first_ages = [first for first, _ in AGE_BANDS.values()][1:]
    counts = np.zeros((len(AGE_BANDS), len(AGE_BANDS)), dtype=int)
    # Not `counts[…] += 1`, which counts a pair of age groups once however often it occurs.
    np.add.at(counts, (np.digitize(judged.ages, first_ages), np.digitize(judged.estimated, first_ages)), 1)
    return {"age_bands": list(AGE_BANDS), "counts": counts.tolist()}


def reliability(judged: JudgedAges, age_years: int, bootstrap: GroupBootstrap) -> Figures:
    """Compare the predicted P(under `age_years`) with its observed frequency, in ten equal bins of probability."""
    said = probability_under(judged.distribution, age_years)
    happened = judged.ages < age_years
    return {
        "calibration_error": expected_calibration_error(said, happened),
        "calibration_error_interval_95": _calibration_error_interval(said, happened, bootstrap),
        "bins": list(_reliability_bins(said, happened)),
    }


def expected_calibration_error(probability: Floats, happened: NDArray[np.bool_]) -> float:
    """Return the mean difference between predicted and observed frequency in ten equal bins, weighted by their photos.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    bins = _probability_bins(probability)
    said = np.bincount(bins, weights=probability, minlength=PROBABILITY_BINS)
    seen = np.bincount(bins, weights=happened, minlength=PROBABILITY_BINS)
    return float(np.abs(said - seen).sum() / len(probability))


def challenge_figures(judged: JudgedAges, bootstrap: GroupBootstrap) -> Figures:
    """Return NIST's figures of Challenge 25, as CHALLENGE_DEFINITION explains. A share without people is None."""
    passed = judged.estimated >= CHALLENGE_AGE_YEARS
    figures: Figures = {"challenge_age_years": CHALLENGE_AGE_YEARS, "definition": CHALLENGE_DEFINITION}
    minors = _between(judged.ages, CHALLENGE_MINORS_YEARS)
    figures |= _share("false_positive_rate", passed, minors, bootstrap)
    for band, ages in CHALLENGE_BANDS_YEARS.items():
        people = _between(judged.ages, ages)
        figures |= _share(f"challenged_{band.replace('-', '_')}_share", ~passed, people, bootstrap)
        figures[f"people_{band.replace('-', '_')}_count"] = int(people.sum())
    return figures


def wilson_interval(happened_count: int, count: int) -> Interval:
    """Return the 95 % interval of a share. Source: Wilson 1927, computed by scipy."""
    interval = binomtest(happened_count, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _share(name: str, happened: Rows, people: Rows, bootstrap: GroupBootstrap) -> Figures:
    if not people.any():
        return {name: None, f"{name}_interval_95": None}
    (interval,) = bootstrap.mean_intervals(happened[:, None].astype("float64"), people)
    if interval[0] == interval[1]:  # all or nobody: resampling the same answer shows no uncertainty
        interval = wilson_interval(int(happened[people].sum()), int(people.sum()))
    return {name: float(happened[people].mean()), f"{name}_interval_95": interval}


def _between(ages: NDArray[np.int64], band: tuple[int, int]) -> Rows:
    within: Rows = (ages >= band[0]) & (ages <= band[1])
    return within


def _probability_bins(probability: Floats) -> NDArray[np.int64]:
    # A probability of 1 belongs to the last bin.
    return np.minimum((probability * PROBABILITY_BINS).astype(np.int64), PROBABILITY_BINS - 1)


def _calibration_error_interval(said: Floats, happened: Rows, bootstrap: GroupBootstrap) -> Interval:
    # A column per bin, and the gap of a photo in the column of its bin: sums of columns are the gaps of bins.
    gaps_by_bin = np.eye(PROBABILITY_BINS)[_probability_bins(said)] * (said - happened)[:, None]
    sums = bootstrap.sums(np.column_stack([gaps_by_bin, np.ones(len(said))]), np.ones(len(said), dtype=bool))
    return percentile_interval(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1])


def _reliability_bins(said: Floats, happened: Rows) -> Iterator[Figures]:
    bins = _probability_bins(said)
    for each in np.unique(bins):
        rows = bins == each
        yield {
            "photo_count": int(rows.sum()),
            "said": float(said[rows].mean()),
            "seen": float(happened[rows].mean()),
            "seen_interval_95": wilson_interval(int(happened[rows].sum()), int(rows.sum())),
        }


def error_cells(row: Figures) -> list[str]:
    """Return the cells of a row of errors, in the order of ERROR_HEADINGS."""
    return [
        str(row["photo_count"]),
        ranged(row, "mae", ".2f"),
        ranged(row, "bias", "+.2f"),
        ranged(row, "within_5_years_share", ".0%"),
        ranged(row, "interval_coverage", ".1%"),
        ranged(row, "interval_width_years", ".1f"),
    ]


def ranged(row: Figures, name: str, style: str) -> str:
    """Format a figure with its 95 % interval, if it has one, in brackets: '5.13 [4.88 to 5.39]'."""
    if row.get(name) is None:
        return "–"
    interval = row.get(f"{name}_interval_95")
    return f"{row[name]:{style}}" + (f" [{interval[0]:{style}} to {interval[1]:{style}}]" if interval else "")
