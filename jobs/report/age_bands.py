"""age_bands: orders the names of age groups by age, with 'suppressed' and 'unknown' last, and sums over a group."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray


def in_order(names: set[str]) -> list[str]:
    """Sort the names of age groups by age, with 'suppressed' and 'unknown' last."""
    return sorted(names, key=lambda name: (first_year(name) is None, first_year(name) or 0, name))


def first_year(name: str) -> int | None:
    """Return the lowest age of an age group: 18 for 18-24; None for 'suppressed' and 'unknown'."""
    found = re.match(r"\d+", name)
    return int(found[0]) if found else None


def sum_of_band(by_year: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Sum an array of (…, 101) numbers by year of age over the ages of a group such as 18-24 or 65+."""
    first, _, last = name.rstrip("+").partition("-")
    total: NDArray[np.float64] = by_year[..., int(first) : int(last) + 1 if last else None].sum(axis=-1)
    return total
