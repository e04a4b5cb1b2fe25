"""age_mix_estimation: from estimates of ages to how many buyers of each age there were. numpy only, no Spark.

A model trained on one mix of ages leans towards it in a shop with another. The mix of a circle of buyers (all of a day,
or those of a product category) is therefore estimated from their photos, and each buyer's distribution is corrected
for it. All of it is made from cells: buyers whose distributions are nearly alike, counted together.

    number of a cell ► cell_likelihoods ► circle_mix ► estimate_groups, affinity
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

YEARS_OF_AGE = 101
YEARS = np.arange(YEARS_OF_AGE)

CELL_YEARS = 0.5
"""Buyers of a cell look equally old to so many years."""
CELL_SPREADS_YEARS = (1.5, 2.5, 3.5, 4.5, 6.0, 8.0, 11.0)
"""Bounds between steps of the standard deviation of a buyer's distribution."""

RESAMPLINGS = 40
"""How often transactions are resampled where the calibration has no replicates."""
NORMAL_QUANTILE_95 = 1.6448536269514722
LOWEST_LIKELIHOOD = 1e-9
"""No photo makes an age impossible."""
MOST_STEPS = 200
SETTLED = 1e-7


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
    """Standard deviation of the smoothing of a mix in each step."""
    shrinkage_transactions: float
    """How many transactions the mix of all buyers counts for in the mix of some of them."""
    replicates: tuple[Replicate, ...] = ()
    """The same fitted on resamples of the photos: what the calibration does not know."""


@dataclass(frozen=True)
class CircleMix:
    """The ages of a circle of buyers, and r resamplings of it."""

    transaction_count: int
    mix: Floats
    """(101,) shares of ages before a photo is looked at: what a distribution is corrected with."""
    shares: Floats
    """(101,) mean of the buyers' corrected distributions."""
    resampled_mixes: Floats
    """(r, 101)"""
    resampled_shares: Floats
    """(r, 101)"""


@dataclass(frozen=True)
class Estimates:
    """A number with its 90 % interval, each an array of one shape."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class GroupEstimates:
    """Of each place and age group, (places, groups): transactions, quantity and net amount."""

    transaction_count: Estimates
    quantity: Estimates
    net_amount: Estimates


@dataclass(frozen=True)
class CellSums:
    """Sums over the transactions of a circle by place and cell: (n,) arrays of one length.

    A place is whatever estimates are wanted for, as a store, numbered from 0. Squares are summed over transactions.
    """

    place: Integers
    cell: Integers
    """Row of the cell in the likelihoods, not its number."""
    transaction_count: Floats
    quantity: Floats
    squared_quantity: Floats
    net_amount: Floats
    squared_net_amount: Floats


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


def fit_mix(
    cell_likelihoods: Floats,
    counts: Floats,
    smoothing_years: float,
    toward: Floats | None = None,
    strength: float = 0.0,
) -> Floats:
    """Return the (101,) shares of ages of buyers from their (k, 101) likelihoods and (k,) counts.

    Expectation and maximisation by turns, the mix smoothed after each step. `toward` counts for `strength`
    transactions, and is the answer, else equal shares are, when there are none. Leading axes of all arrays are batches.
    Sources: Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities"; Silverman, Jones, Wilson & Nychka 1990, "A smoothed EM approach to indirect estimation problems".
    """
    even = np.full(YEARS_OF_AGE, 1 / YEARS_OF_AGE)
    shape = (*cell_likelihoods.shape[:-2], YEARS_OF_AGE)
    mix = np.broadcast_to(even if toward is None else toward, shape)
    anchor = np.zeros(YEARS_OF_AGE) if toward is None else strength * toward
    total = counts.sum(axis=-1, keepdims=True) + anchor.sum(axis=-1, keepdims=True)
    known = total[..., 0] > 0
    if not known.any():
        return mix.copy()
    smoothing = _smoothing(smoothing_years)
    for _ in range(MOST_STEPS):
        mass = _mass(cell_likelihoods, counts, mix) + anchor
        following = np.where(known[..., None], mass / np.where(total > 0, total, 1.0) @ smoothing, mix)
        change = np.abs(following - mix).sum(axis=-1).max()
        mix = following
        if change < SETTLED:
            break
    settled: Floats = mix / mix.sum(axis=-1, keepdims=True)
    return settled


def circle_mix(
    cell_likelihoods: Floats,
    counts: Floats,
    calibration: ShiftCalibration,
    random: np.random.Generator,
    everyone: CircleMix | None = None,
) -> CircleMix:
    """Return the ages of a circle of buyers with (1 + r, k, 101) likelihoods and (k,) counts of its cells.

    The mix of a part of the buyers is drawn to that of `everyone`. Each resampling draws the counts anew and takes the
    next replicate of the calibration.
    """
    strength = 0.0 if everyone is None else calibration.shrinkage_transactions
    own, others = cell_likelihoods[0], cell_likelihoods[1:]
    resampled = random.poisson(counts, (len(others), len(counts))).astype(np.float64)
    toward = (None, None) if everyone is None else (everyone.mix, everyone.resampled_mixes)
    mix = fit_mix(own, counts, calibration.smoothing_years, toward[0], strength)
    mixes = fit_mix(others, resampled, calibration.smoothing_years, toward[1], strength)
    shares = _shares(own, counts, mix)
    return CircleMix(round(counts.sum()), mix, shares, mixes, _shares(others, resampled, mixes))


def estimate_groups(
    cell_likelihoods: Floats, circle: CircleMix, sums: CellSums, place_count: int, lower_bounds_years: Sequence[int]
) -> GroupEstimates:
    """Return what buyers of each age group bought at each place, with 90 % intervals of what they really did.

    A place has the mix of its circle and the photos of its own buyers. The interval holds who each buyer was, given
    the photo, and what the mix and the calibration leave open. Sums over groups are those of all transactions.
    """
    weights = _group_weights(cell_likelihoods[0], circle.mix, lower_bounds_years)
    others = _group_weights(cell_likelihoods[1:], circle.resampled_mixes, lower_bounds_years)

    def estimates(total: Floats, squares: Floats) -> Estimates:
        by_cell = _by_place_and_cell(sums, total, (place_count, len(weights)))
        value = by_cell @ weights
        between = ((by_cell @ others - value) ** 2).mean(axis=0)
        within = _by_place_and_cell(sums, squares, (place_count, len(weights))) @ (weights * (1 - weights))
        margin = NORMAL_QUANTILE_95 * np.sqrt(between + within)
        return Estimates(value, value - margin, value + margin)

    counted = estimates(sums.transaction_count, sums.transaction_count)
    most = counted.value.sum(axis=1, keepdims=True)
    return GroupEstimates(
        Estimates(counted.value, np.maximum(counted.low, 0.0), np.minimum(counted.high, most)),
        estimates(sums.quantity, sums.squared_quantity),
        estimates(sums.net_amount, sums.squared_net_amount),
    )


def affinity(category: CircleMix, everyone: CircleMix, lower_bounds_years: Sequence[int]) -> Estimates:
    """Return (groups,) how much more often each age group buys a category than all buyers do, with 90 % intervals."""
    own, all_buyers = (group_sums(each.shares, lower_bounds_years) for each in (category, everyone))
    others = group_sums(category.resampled_shares, lower_bounds_years) / np.maximum(
        group_sums(everyone.resampled_shares, lower_bounds_years), 1e-12
    )
    value = own / np.maximum(all_buyers, 1e-12)
    low, high = np.quantile(others, (0.05, 0.95), axis=0)
    return Estimates(value, np.minimum(low, value), np.maximum(high, value))


def group_sums(by_year: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Sum (…, 101) numbers by year of age to (…, groups) by age group."""
    summed: Floats = by_year @ _is_in_group(lower_bounds_years)
    return summed


def seeded(business_date: date, circle: str) -> np.random.Generator:
    """Return the random numbers of a circle on a date: the same in every run of that date."""
    return np.random.default_rng([business_date.toordinal(), zlib.crc32(circle.encode())])


def _mass(cell_likelihoods: Floats, counts: Floats, mix: Floats) -> Floats:
    """Return (…, 101) how many buyers of each age there are if the mix is true."""
    explained = cell_likelihoods @ mix[..., None]
    mass: Floats = mix * (np.swapaxes(cell_likelihoods, -1, -2) @ (counts[..., None] / explained))[..., 0]
    return mass


def _shares(cell_likelihoods: Floats, counts: Floats, mix: Floats) -> Floats:
    mass = _mass(cell_likelihoods, counts, mix)
    total = counts.sum(axis=-1, keepdims=True)
    shares: Floats = np.where(total > 0, mass / np.where(total > 0, total, 1.0), mix)
    return shares


def _group_weights(cell_likelihoods: Floats, mix: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Return (…, k, groups) P(group) of a buyer of each cell."""
    mass = group_sums(cell_likelihoods * mix[..., None, :], lower_bounds_years)
    weights: Floats = mass / mass.sum(axis=-1, keepdims=True)
    return weights


def _by_place_and_cell(sums: CellSums, values: Floats, shape: tuple[int, int]) -> Floats:
    flat = np.bincount(sums.place * shape[1] + sums.cell, weights=values, minlength=shape[0] * shape[1])
    return flat.reshape(shape)


def _is_in_group(lower_bounds_years: Sequence[int]) -> Floats:
    """Return (101, groups) 1 where a year of age belongs to a group."""
    group = np.searchsorted(np.asarray(lower_bounds_years), YEARS, side="right") - 1
    return (group[:, None] == np.arange(len(lower_bounds_years))).astype(np.float64)


def _smoothing(years: float) -> Floats:
    """Return the (101, 101) matrix that spreads each year's share over its neighbours; the whole is kept."""
    if years <= 0:
        return np.eye(YEARS_OF_AGE)
    nearness = np.exp(-0.5 * ((YEARS[:, None] - YEARS) / years) ** 2)
    smoothing: Floats = nearness / nearness.sum(axis=1, keepdims=True)
    return smoothing
