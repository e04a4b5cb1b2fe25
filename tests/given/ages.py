"""Buyers as the age model sees them, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.ages.age_groups import age_group_names
from jobs.ages.age_mix_estimation import Replicate, ShiftCalibration
from jobs.schemas.buyers import UNKNOWN

YEARS = np.arange(101)
EVEN = np.full(101, 1 / 101)
BOUNDS = (0, 18, 25, 35, 45, 55, 65)
CALIBRATION = ShiftCalibration(
    exponent=1.0,
    bias=np.zeros(101),
    prior=EVEN,
    smoothing_years=20.0,
    trusted_transactions=4000.0,
    replicates=tuple(Replicate(exponent, np.zeros(101), EVEN) for exponent in (0.9, 0.95, 1.0, 1.05, 1.1)),
)


def looks(age_years: float, error_years: float = 5.0) -> list[float]:
    """Return the distribution of a person who looks about this old."""
    nearness = np.exp(-0.5 * ((YEARS - age_years) / error_years) ** 2)
    return (nearness / nearness.sum()).tolist()


def buyer(transaction_id: str, age_years: float | None, **given: Any) -> dict[str, Any]:
    """Return a row of transaction_ages; None is a buyer without an estimate."""
    row = {"store_id": "0042", "till_id": "03", "transaction_id": transaction_id, "age_group": UNKNOWN}
    if age_years is None:
        return row | given
    group = age_group_names(BOUNDS)[int(np.searchsorted(BOUNDS, age_years, side="right")) - 1]
    estimate = {"age_distribution": looks(age_years), "estimated_age_years": float(age_years), "age_group": group}
    return row | estimate | given
