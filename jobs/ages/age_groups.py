"""age_groups: Spark columns of age groups, and of the probability that a buyer is younger than an age."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.schemas.buyers import UNKNOWN


def age_group_names(lower_bounds_years: Sequence[int]) -> list[str]:
    """Return the names of age groups from their lowest ages: (0, 18, 65) ► 0-17, 18-64, 65+."""
    closed = [f"{low}-{high - 1}" for low, high in pairwise(lower_bounds_years)]
    return [*closed, f"{lower_bounds_years[-1]}+"]


def age_group(age_years: Column, lower_bounds_years: Sequence[int]) -> Column:
    """Return the column of the age group that contains an age in years; 'unknown' for null."""
    band = F.lit(UNKNOWN)
    # From the lowest bound up: the highest band whose bound is not above the age ends up outermost and decides.
    for low, name in zip(lower_bounds_years, age_group_names(lower_bounds_years), strict=True):
        band = F.when(age_years >= low, F.lit(name)).otherwise(band)
    return band


def probability_under(age_distribution: Column, age_years: int) -> Column:
    """Return the column of P(age < age_years), from an age distribution; null for null."""
    years_under = F.slice(age_distribution, 1, age_years)
    total = F.aggregate(years_under, F.lit(0.0), lambda total, share: total + share.cast("double"))
    # Rounded shares may add up to slightly more than 1.
    return F.when(age_distribution.isNotNull(), F.least(total, F.lit(1.0)))
