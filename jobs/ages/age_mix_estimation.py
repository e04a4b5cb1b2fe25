"""age_mix_estimation: estimates how many buyers of each age there were from uncertain estimates of single buyers.

A model's estimates lean towards the ages of its training photos, and a shop has another mix of ages. So the mix of ages
of a group of buyers (all of a day, or those of a product category) is estimated from their photos, and each buyer's age
distribution is corrected for it. Buyers with nearly the same distribution are counted together, as a cell. numpy only.

    number of a cell ► cell_likelihoods ► buyer_group_mix ► estimate_groups, affinity
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice, repeat
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
    fit_mixes,
)

CELL_YEARS = 0.5
"""Width of a cell in mean age. Wider cells mix buyers who look unlike; narrower ones make more cells to fit."""
CELL_SPREADS_YEARS = (1.5, 2.5, 3.5, 4.5, 6.0, 8.0, 11.0)
"""Bounds between the cells' classes of standard deviation of a buyer's distribution."""
RESAMPLINGS = 30
"""Number of other mixes that are drawn where the calibration has no replicates."""
LOWEST_LIKELIHOOD = 1e-9
"""Floor of every likelihood: no photo makes an age impossible. Without it, one odd photo could rule out an age."""


@dataclass(frozen=True)
class Replicate:
    """Parameters that turn an age distribution p into likelihoods of each age: p^exponent · exp(bias) / prior."""

    exponent: float
    bias: Floats
    """(101,) by age."""
    prior: Floats
    """(101,) shares of ages that the distributions lean towards, all above 0."""


@dataclass(frozen=True)
class ShiftCalibration(Replicate):
    """Parameters of a model version for correcting its age distributions for another mix of ages."""

    smoothing_years: float
    """Distance of ages over which shares depend on each other. The larger it is, the smoother a mix."""
    trusted_transactions: float
    """Number beyond which more transactions tell little about a mix, because all share the calibration's errors."""
    replicates: tuple[Replicate, ...] = ()
    """The same parameters fitted on resamples of the photos; they differ by what the calibration does not know."""
    usual_mix: Floats = field(default_factory=lambda: EVEN_MIX)
    """(101,) shares of ages in a shop about which nothing is known, all above 0."""


@dataclass(frozen=True)
class BuyerGroupMix:
    """The estimated mix of ages of a group of buyers, and r other mixes that are as probable."""

    transaction_count: int
    mix: Floats
    """(101,) shares of ages before a photo is looked at; distributions are corrected with it."""
    shares: Floats
    """(101,) mean of the buyers' corrected distributions."""
    resampled_mixes: Floats
    """(r, 101)"""
    resampled_shares: Floats
    """(r, 101)"""


def cell_numbers(distributions: Floats) -> Integers:
    """Return the (n,) numbers of the cells that (n, 101) age distributions belong to."""
    # Stored distributions are rounded to float, so their sums are not exactly 1.
    known = distributions / distributions.sum(axis=1, keepdims=True)
    mean = known @ YEARS
    variance = np.maximum(known @ YEARS**2 - mean**2, 0.0)
    spread = np.searchsorted(CELL_SPREADS_YEARS, np.sqrt(variance))
    looks = np.rint(mean / CELL_YEARS).astype(np.int64)
    # Mean and spread in one number, unique because there is one more class of spread than there are bounds.
    numbers: Integers = looks * (len(CELL_SPREADS_YEARS) + 1) + spread
    return numbers


def likelihoods(distributions: Floats, calibration: Replicate) -> Floats:
    """Turn (n, 101) age distributions into (n, 101) likelihoods of each age, scaled so that each row's maximum is 1."""
    logs = (
        calibration.exponent * np.log(np.maximum(distributions, 1e-12)) + calibration.bias - np.log(calibration.prior)
    )
    # Only ratios of likelihoods matter. With the largest at 1, exp cannot overflow.
    scaled = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    result: Floats = np.maximum(scaled, LOWEST_LIKELIHOOD)
    return result


def cell_likelihoods(distributions: Floats, calibration: ShiftCalibration) -> Floats:
    """Turn the mean distributions of k cells into (1 + r, k, 101) likelihoods, by calibration and replicate."""
    versions: Sequence[Replicate] = calibration.replicates or (calibration,) * RESAMPLINGS
    return np.stack([likelihoods(distributions, version) for version in (calibration, *versions)])


def corrected(distributions: Floats, mix: Floats, calibration: Replicate) -> Floats:
    """Correct (n, 101) age distributions for buyers with the (101,) mix of ages `mix`."""
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
    """Estimate the mix of ages of a group of buyers, from (1 + r, k, 101) likelihoods and (k,) counts of its cells.

    For a part of the buyers, such as those of a category, the mix of all buyers (`everyone`) is the usual mix; a part
    with photos like everyone's gets exactly that mix. Each of the r other mixes is drawn from the mixes that are
    probable under the next replicate of the calibration.
    """
    # The counts are scaled so that their sum never exceeds trusted_transactions.
    trusted = counts / (1 + counts.sum() / calibration.trusted_transactions)
    usual = list(islice(_usual(calibration, everyone), len(likelihoods_by_cell)))
    # The first mix is the most probable one; each later one is a random draw.
    mixes = fit_mixes(likelihoods_by_cell, trusted, calibration.smoothing_years, usual, random)
    shares = np.stack([_shares(version, counts, mix) for version, mix in zip(likelihoods_by_cell, mixes, strict=True)])
    return BuyerGroupMix(round(counts.sum()), mixes[0], shares[0], mixes[1:], shares[1:])


def seeded(business_date: date, buyer_group: str) -> np.random.Generator:
    """Return a random generator for a group of buyers on a date, with the same seed in every run of that date."""
    return np.random.default_rng([business_date.toordinal(), zlib.crc32(buyer_group.encode())])


def _usual(calibration: ShiftCalibration, everyone: BuyerGroupMix | None) -> Iterable[UsualMix]:
    """Yield the usual mix under the calibration, then under each of its replicates."""
    if everyone is None:
        return repeat(UsualMix(calibration.usual_mix))
    mixes = np.vstack([everyone.mix, everyone.resampled_mixes])
    surpluses = np.vstack([everyone.shares, everyone.resampled_shares]) - mixes
    return (UsualMix(mix, surplus, PART_LOG_SPREAD) for mix, surplus in zip(mixes, surpluses, strict=True))


def _shares(likelihoods_by_cell: Floats, counts: Floats, mix: Floats) -> Floats:
    """Return the (101,) mean of the buyers' corrected distributions; without buyers, the mix."""
    if not counts.sum():
        return mix
    shares: Floats = counts @ distributions_of_cells(likelihoods_by_cell, mix) / counts.sum()
    return shares


def columns_of(buyer_group: BuyerGroupMix) -> dict[str, object]:
    """Return a BuyerGroupMix as the columns of age_mixes that store it."""
    return {
        "transaction_count": buyer_group.transaction_count,
        "estimated_age_distribution": buyer_group.mix.tolist(),
        "estimated_age_shares": buyer_group.shares.tolist(),
        "resampled_age_distributions": buyer_group.resampled_mixes.tolist(),
        "resampled_age_shares": buyer_group.resampled_shares.tolist(),
    }


def buyer_group_of(row: Mapping[str, Any] | pd.Series) -> BuyerGroupMix:
    """Return the BuyerGroupMix that a row of age_mixes stores."""
    return BuyerGroupMix(
        int(row["transaction_count"]),
        np.asarray(row["estimated_age_distribution"], dtype=np.float64),
        np.asarray(row["estimated_age_shares"], dtype=np.float64),
        np.stack(row["resampled_age_distributions"]).astype(np.float64),
        np.stack(row["resampled_age_shares"]).astype(np.float64),
    )
