"""simulated_buyers: buyers of known ages, and the distributions of a perfectly calibrated age model for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.ages.age_group_estimates import CellSums
from jobs.ages.age_mix_estimation import (
    BuyerGroupMix,
    ShiftCalibration,
    buyer_group_mix,
    cell_likelihoods,
    cell_numbers,
)
from jobs.ages.age_mix_fit import YEARS, Floats, Integers
from jobs.operations.sample_day.sample_receipts import BUYER_AGE_SHARES

BOUNDS = (0, 18, 25, 35, 45, 55, 65)
SHOP_AGES = {(13, 17): 0.02, **BUYER_AGE_SHARES}
TRAINED_AGES = {(0, 17): 0.18, (18, 34): 0.42, (35, 64): 0.32, (65, 100): 0.08}
"""Roughly the ages of UTKFace."""
STEP_YEARS = 4.0


@dataclass(frozen=True)
class Cells:
    """The k cells of n buyers."""

    cell: Integers
    """(n,) row of each buyer's cell."""
    transaction_count: Floats
    distribution: Floats
    """(k, 101) means."""


def mix_of(bands: dict[tuple[int, int], float]) -> Floats:
    """Return (101,) shares, even within each band of first and last year ► share."""
    shares = sum(
        share * ((first <= YEARS) & (last >= YEARS)) / (last - first + 1) for (first, last), share in bands.items()
    )
    return np.asarray(shares) / np.sum(shares)


def trained_ages() -> Floats:
    """Return the (101,) mix of ages in a model's training."""
    return smooth(mix_of(TRAINED_AGES) + 1e-6)


def other_shop(random: np.random.Generator) -> Floats:
    """Return the (101,) mix of ages in a shop with half to twice the usual share of each age group."""
    return smooth(mix_of({band: share * 2 ** random.uniform(-1, 1) for band, share in SHOP_AGES.items()}))


def smooth(mix: Floats) -> Floats:
    """Smooth the steps between the bands of a mix, which real populations do not have."""
    nearness = np.exp(-0.5 * ((YEARS[:, None] - YEARS) / STEP_YEARS) ** 2)
    smoothed = mix @ (nearness / nearness.sum(axis=1, keepdims=True))
    return np.asarray(smoothed / smoothed.sum())


def draw_ages(mix: Floats, count: int, random: np.random.Generator) -> Integers:
    return random.choice(len(YEARS), count, p=mix)


def nearest_faces(ages: Integers, face_ages: Integers, random: np.random.Generator) -> Integers:
    """Return for each age the row of a random face of the nearest age. Faces may repeat."""
    apart = np.abs(ages[:, None] - face_ages) + random.random((len(ages), len(face_ages))) / 2
    return apart.argmin(axis=1)


def seen(ages: Integers, random: np.random.Generator) -> Floats:
    """Return the (n, 101) distributions of a model trained on TRAINED_AGES, with a mean error of about 5 years at 40.

    Each person's apparent age has a normal error, larger for the old. The distribution is the posterior of the age.
    """
    looks = ages + error_years(ages) * random.normal(size=len(ages))
    spread = error_years(YEARS)
    logs = -0.5 * ((looks[:, None] - YEARS) / spread) ** 2 - np.log(spread)
    mass = np.exp(logs - logs.max(axis=1, keepdims=True)) * trained_ages()
    return mass / mass.sum(axis=1, keepdims=True)


def error_years(ages: NDArray[np.int64]) -> Floats:
    return 2.5 + 0.09 * ages


def exact_calibration(trusted_transactions: float = np.inf) -> ShiftCalibration:
    """Return the calibration that fits `seen` exactly."""
    return ShiftCalibration(1.0, np.zeros(len(YEARS)), trained_ages(), 20.0, trusted_transactions)


def cells_of(distributions: Floats) -> Cells:
    """Group buyers as the nightly job does."""
    numbers, cell, counts = np.unique(cell_numbers(distributions), return_inverse=True, return_counts=True)
    sums = np.zeros((len(numbers), len(YEARS)))
    np.add.at(sums, cell, distributions)
    return Cells(cell, counts.astype(np.float64), sums / counts[:, None])


def buyer_groups_of(
    distributions: Floats, calibration: ShiftCalibration, seed: int, in_category: NDArray[np.bool_] | None = None
) -> tuple[Cells, Floats, BuyerGroupMix, BuyerGroupMix]:
    """Return cells, their likelihoods, the mix of all buyers and the mix of buyers of the category."""
    cells = cells_of(distributions)
    likelihoods = cell_likelihoods(cells.distribution, calibration)
    everyone = buyer_group_mix(likelihoods, cells.transaction_count, calibration, np.random.default_rng([seed, 0]))
    if in_category is None:
        return cells, likelihoods, everyone, everyone
    counts = np.bincount(cells.cell[in_category], minlength=len(likelihoods[0])).astype(np.float64)
    category = buyer_group_mix(likelihoods, counts, calibration, np.random.default_rng([seed, 1]), everyone)
    return cells, likelihoods, everyone, category


def sums_of_one_place(cells: Cells) -> CellSums:
    """Return the sums over all buyers if each buys one unit at a price of one."""
    row = np.arange(len(cells.transaction_count))
    return CellSums(np.zeros_like(row), row, *[cells.transaction_count] * 5)


def groups_of(ages: Floats | Integers) -> Integers:
    return np.searchsorted(BOUNDS, ages, side="right") - 1


def shares_of(ages: Floats | Integers) -> Floats:
    """Return the (groups,) shares of ages or estimates."""
    return np.bincount(groups_of(ages), minlength=len(BOUNDS)) / len(ages)


def distance(left: Floats, right: Floats) -> float:
    """Return the total variation distance."""
    return float(np.abs(left - right).sum() / 2)


def planted(ages: Integers, random: np.random.Generator, times: float = 3.0, share: float = 0.08) -> NDArray[np.bool_]:
    """Draw who buys a category. A `share` of all buyers does, and `times` that share of buyers of 18 to 24."""
    is_young = groups_of(ages) == 1
    others = share * (1 - times * is_young.mean()) / (1 - is_young.mean())
    return random.random(len(ages)) < np.where(is_young, times * share, others)
