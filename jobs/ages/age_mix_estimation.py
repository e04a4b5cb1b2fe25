"""age_mix_estimation: how many buyers of each age there were, from uncertain estimates of single buyers. numpy only.

A model trained on one mix of ages leans towards it in a shop with another. The mix of a group of buyers (all of a day,
or those of a product category) is therefore estimated from their photos, and each buyer's distribution is corrected
for it. All of it is made from cells: buyers whose distributions are nearly alike, counted together.

    number of a cell ► cell_likelihoods ► buyer_group_mix ► estimate_groups, affinity
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from jobs.ages.age_mix_fit import (
    EVEN_MIX,
    PART_LOG_SPREAD,
    YEARS,
    Floats,
    Integers,
    UsualMix,
    distributions_of_cells,
    fit_mix,
)

CELL_YEARS = 0.5
"""Buyers of a cell look equally old to so many years."""
CELL_SPREADS_YEARS = (1.5, 2.5, 3.5, 4.5, 6.0, 8.0, 11.0)
"""Bounds between steps of the standard deviation of a buyer's distribution."""
RESAMPLINGS = 30
"""How many other mixes are drawn where the calibration has no replicates."""
LOWEST_LIKELIHOOD = 1e-9
"""No photo makes an age impossible."""


@dataclass(frozen=True)
class Replicate:
    """How a stored distribution p becomes the likelihood of ages: p^exponent · exp(bias) / prior, age by age."""

    exponent: float
    bias: Floats
    """(101,) by age."""
    prior: Floats
    """(101,) shares of ages that the distributions lean towards, all above 0."""


@dataclass(frozen=True)
class ShiftCalibration(Replicate):
    """What a model version needs so that its distributions can be corrected for another mix of ages."""

    smoothing_years: float
    """How far apart ages are whose shares are still surprising together: a mix is the smoother, the larger it is."""
    trusted_transactions: float
    """Beyond so many, more transactions tell little of a mix: faults of the calibration are common to all of them."""
    replicates: tuple[Replicate, ...] = ()
    """The same fitted on resamples of the photos: what the calibration does not know."""
    usual_mix: Floats = field(default_factory=lambda: EVEN_MIX)
    """(101,) shares of ages in shops of which nothing is known, all above 0."""


@dataclass(frozen=True)
class BuyerGroupMix:
    """The ages of a group of buyers, and r resamplings of them: others that are as probable."""

    transaction_count: int
    mix: Floats
    """(101,) shares of ages before a photo is looked at: what a distribution is corrected with."""
    shares: Floats
    """(101,) mean of the buyers' corrected distributions."""
    resampled_mixes: Floats
    """(r, 101)"""
    resampled_shares: Floats
    """(r, 101)"""


def cell_numbers(distributions: Floats) -> Integers:
    """Return the (n,) number of the cell of each (n, 101) distribution."""
    known = distributions / distributions.sum(axis=1, keepdims=True)
    mean = known @ YEARS
    variance = np.maximum(known @ YEARS**2 - mean**2, 0.0)
    spread = np.searchsorted(CELL_SPREADS_YEARS, np.sqrt(variance))
    looks = np.rint(mean / CELL_YEARS).astype(np.int64)
    numbers: Integers = looks * (len(CELL_SPREADS_YEARS) + 1) + spread
    return numbers


def likelihoods(distributions: Floats, calibration: Replicate) -> Floats:
    """Return (n, 101) likelihoods of each age from stored distributions, the largest of a row being 1."""
    logs = (
        calibration.exponent * np.log(np.maximum(distributions, 1e-12)) + calibration.bias - np.log(calibration.prior)
    )
    scaled = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    result: Floats = np.maximum(scaled, LOWEST_LIKELIHOOD)
    return result


def cell_likelihoods(distributions: Floats, calibration: ShiftCalibration) -> Floats:
    """Return (1 + r, k, 101) likelihoods of the mean distributions of k cells: calibrated, then with each replicate."""
    versions: Sequence[Replicate] = calibration.replicates or (calibration,) * RESAMPLINGS
    return np.stack([likelihoods(distributions, version) for version in (calibration, *versions)])


def corrected(distributions: Floats, mix: Floats, calibration: Replicate) -> Floats:
    """Return (n, 101) distributions of buyers whose ages have the (101,) `mix`."""
    mass = likelihoods(distributions, calibration) * mix
    normalised: Floats = mass / mass.sum(axis=1, keepdims=True)
    return normalised


def buyer_group_mix(
    likelihoods_by_cell: Floats,
    counts: Floats,
    calibration: ShiftCalibration,
    random: np.random.Generator,
    everyone: BuyerGroupMix | None = None,
) -> BuyerGroupMix:
    """Return the ages of a group of buyers with (1 + r, k, 101) likelihoods and (k,) counts of its cells.

    The usual mix of a part of the buyers is that of `everyone`, which a part that looks like all of them has exactly.
    Each of r others is drawn from all that are probable with the next replicate of the calibration.
    """
    trusted = counts / (1 + counts.sum() / calibration.trusted_transactions)
    mixes: list[Floats] = []
    shares: list[Floats] = []
    for version, usual in zip(likelihoods_by_cell, _usual(calibration, everyone), strict=False):
        mixes.append(fit_mix(version, trusted, calibration.smoothing_years, usual, random if mixes else None))
        shares.append(_shares(version, counts, mixes[-1]))
    return BuyerGroupMix(round(counts.sum()), mixes[0], shares[0], np.stack(mixes[1:]), np.stack(shares[1:]))


def seeded(business_date: date, buyer_group: str) -> np.random.Generator:
    """Return the random numbers of a group on a date: the same in every run of that date."""
    return np.random.default_rng([business_date.toordinal(), zlib.crc32(buyer_group.encode())])


def _usual(calibration: ShiftCalibration, everyone: BuyerGroupMix | None) -> Iterable[UsualMix]:
    """Yield what is usual with the calibration, then with each of its replicates."""
    if everyone is None:
        return repeat(UsualMix(calibration.usual_mix))
    mixes = np.vstack([everyone.mix, everyone.resampled_mixes])
    surpluses = np.vstack([everyone.shares, everyone.resampled_shares]) - mixes
    return (UsualMix(mix, surplus, PART_LOG_SPREAD) for mix, surplus in zip(mixes, surpluses, strict=True))


def _shares(likelihoods_by_cell: Floats, counts: Floats, mix: Floats) -> Floats:
    """Return the (101,) mean of the buyers' corrected distributions; the mix where there is no buyer."""
    if not counts.sum():
        return mix
    shares: Floats = counts @ distributions_of_cells(likelihoods_by_cell, mix) / counts.sum()
    return shares


def columns_of(buyer_group: BuyerGroupMix) -> dict[str, object]:
    """Return what age_mixes keeps of a buyer_group."""
    return {
        "transaction_count": buyer_group.transaction_count,
        "estimated_age_distribution": buyer_group.mix.tolist(),
        "estimated_age_shares": buyer_group.shares.tolist(),
        "resampled_age_distributions": buyer_group.resampled_mixes.tolist(),
        "resampled_age_shares": buyer_group.resampled_shares.tolist(),
    }


def buyer_group_of(row: Mapping[str, Any] | pd.Series) -> BuyerGroupMix:
    """Return the group of buyers that a row of age_mixes keeps."""
    return BuyerGroupMix(
        int(row["transaction_count"]),
        np.asarray(row["estimated_age_distribution"], dtype=np.float64),
        np.asarray(row["estimated_age_shares"], dtype=np.float64),
        np.stack(row["resampled_age_distributions"]).astype(np.float64),
        np.stack(row["resampled_age_shares"]).astype(np.float64),
    )
