"""age_bands: orders a day's age groups by age; 'suppressed' and 'unknown' come last."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray


def in_order(names: set[str]) -> list[str]:
    """Order the names of age groups by age."""
    return sorted(names, key=lambda name: (first_year(name) is None, first_year(name) or 0, name))


def first_year(name: str) -> int | None:
    """Return the first year of age of a group, None for groups that are no age band."""
    found = re.match(r"\d+", name)
    return int(found[0]) if found else None


def sum_of_band(by_year: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Sum (…, 101) numbers by year of age over a band such as 18-24 or 65+."""
    first, _, last = name.rstrip("+").partition("-")
    total: NDArray[np.float64] = by_year[..., int(first) : int(last) + 1 if last else None].sum(axis=-1)
    return total
