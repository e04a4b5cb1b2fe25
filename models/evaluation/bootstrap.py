"""bootstrap: confidence intervals of figures over photos that have near duplicates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.serving.age_distribution import Floats

SAMPLES = 2000
SAMPLES_AT_ONCE = 250
SEED = 2026

Rows = NDArray[np.bool_]
Interval = tuple[float, float]


class GroupBootstrap:
    """Percentile intervals of 95 % from 2,000 samples of whole groups, drawn with replacement and a fixed seed.

    Groups of photos are drawn together (cluster bootstrap), as near duplicates have similar errors. Source: Efron &
    Tibshirani 1993, "An Introduction to the Bootstrap", and Davison & Hinkley 1997, section 3.8, for groups.
    """

    def __init__(self, groups: NDArray[np.generic]) -> None:
        """`groups` is the (n,) group of each photo: any labels that can be compared."""
        names, self._group = np.unique(groups, return_inverse=True)
        random = np.random.default_rng(SEED)
        draws = (random.integers(len(names), size=len(names)) for _ in range(SAMPLES))
        self._times_drawn = np.stack([np.bincount(draw, minlength=len(names)).astype(np.uint16) for draw in draws])

    def sums(self, values: Floats, rows: Rows) -> Floats:
        """Return the (2000, k) sums of (n, k) values over the `rows` in each sample."""
        groups, group = np.unique(self._group[rows], return_inverse=True)
        by_group = np.stack([np.bincount(group, column, len(groups)) for column in values[rows].T], axis=1)
        times_drawn = self._times_drawn[:, groups]
        # In chunks, because the product needs the counts as floats, four times as large as stored.
        chunks = [times_drawn[at : at + SAMPLES_AT_ONCE] @ by_group for at in range(0, SAMPLES, SAMPLES_AT_ONCE)]
        return np.concatenate(chunks)

    def mean_intervals(self, values: Floats, rows: Rows) -> list[Interval]:
        """Return, for each of k columns of (n, k) values, the interval of its mean over `rows`."""
        sums = self.sums(np.column_stack([values, np.ones(len(values))]), rows)
        was_drawn = sums[:, -1] > 0  # a sample may have drawn nobody of a small group
        means = sums[was_drawn, :-1] / sums[was_drawn, -1:]
        return [percentile_interval(column) for column in means.T]


def percentile_interval(samples: Floats) -> Interval:
    """Return the bounds of the middle 95 % of (m,) samples of a figure."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)
