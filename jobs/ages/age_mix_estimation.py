"""age_mix_estimation: from estimates of ages to how many buyers of each age there were. numpy only, no Spark.

A model trained on one mix of ages leans towards it in a shop with another. The mix of a circle of buyers (all of a day,
or those of a product category) is therefore estimated from their photos, and each buyer's distribution is corrected
for it. All of it is made from cells: buyers whose distributions are nearly alike, counted together.

    number of a cell ► cell_likelihoods ► circle_mix ► estimate_groups, affinity
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from models.age_distribution import YEARS_OF_AGE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

YEARS = np.arange(YEARS_OF_AGE)

CELL_YEARS = 0.5
"""Buyers of a cell look equally old to so many years."""
CELL_SPREADS_YEARS = (1.5, 2.5, 3.5, 4.5, 6.0, 8.0, 11.0)
"""Bounds between steps of the standard deviation of a buyer's distribution."""

RESAMPLINGS = 30
"""How many other mixes are drawn where the calibration has no replicates."""
LEAST_SHARE = 1e-9
NORMAL_QUANTILE_95 = 1.6448536269514722
LOWEST_LIKELIHOOD = 1e-9
"""No photo makes an age impossible."""

EVEN_MIX = np.full(YEARS_OF_AGE, 1 / YEARS_OF_AGE)
NO_SURPLUS = np.zeros(YEARS_OF_AGE)
MIX_KNOTS_YEARS = np.arange(0, YEARS_OF_AGE, 4)
SHOP_LOG_SPREAD, PART_LOG_SPREAD = 1.2, 1.5
"""Standard deviation of the logarithm of a share of an age over the usual one: of a shop's buyers, of a part of them.

Whom a product is for can change from one age to the next; who lives around a shop, less.
"""
MOST_STEPS = 60
SETTLED = 1e-4
"""A gain of log probability that is none."""


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
class UsualMix:
    """What the mix of a circle of buyers is expected to be before their photos are looked at."""

    mix: Floats = field(default_factory=lambda: EVEN_MIX)
    """(101,) shares of ages, all above 0."""
    surplus: Floats = field(default_factory=lambda: NO_SURPLUS)
    """(101,) by how much the mean of corrected distributions exceeds the mix where nothing is unusual."""
    log_spread: float = SHOP_LOG_SPREAD


@dataclass(frozen=True)
class CircleMix:
    """The ages of a circle of buyers, and r resamplings of them: others that are as probable."""

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
    usual: UsualMix | None = None,
    random: np.random.Generator | None = None,
) -> Floats:
    """Return the (101,) shares of ages of buyers from their (k, 101) likelihoods and (k,) counts.

    The most probable mix, if the logarithm of its ratio to the usual one (else to equal shares) is a random walk over
    ages that forgets after `smoothing_years`. Without buyers it is the usual one. With `random` it is a mix drawn from
    the normal approximation to all probable ones.
    Sources: Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities", for the likelihood; Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", for the
    Ornstein–Uhlenbeck prior and for Newton's method on it.
    """
    usual = usual or UsualMix()
    basis, log_usual = _walk_basis(smoothing_years, usual.log_spread), np.log(usual.mix)
    pull = counts.sum() * (usual.surplus @ basis)
    at = step = np.zeros(basis.shape[1])
    value, length = -np.inf, 1.0
    for _ in range(MOST_STEPS):
        proposed = at + length * step
        mix = _mix(log_usual + basis @ proposed)
        proposed_value = counts @ np.log(cell_likelihoods @ mix) - pull @ proposed - proposed @ proposed / 2
        if proposed_value < value:
            length /= 4
            continue
        gain = proposed_value - value
        at, value, length = proposed, proposed_value, 1.0
        if gain < SETTLED:
            break
        uphill, sizes, directions = _slope(cell_likelihoods, counts, mix, basis)
        step = directions @ (directions.T @ (uphill - pull - at) / sizes)
    if random is not None:
        at = at + directions @ (random.normal(size=len(at)) / np.sqrt(sizes))
    return _mix(log_usual + basis @ at)


def circle_mix(
    cell_likelihoods: Floats,
    counts: Floats,
    calibration: ShiftCalibration,
    random: np.random.Generator,
    everyone: CircleMix | None = None,
) -> CircleMix:
    """Return the ages of a circle of buyers with (1 + r, k, 101) likelihoods and (k,) counts of its cells.

    The usual mix of a part of the buyers is that of `everyone`, which a part that looks like all of them has exactly.
    Each of r others is drawn from all that are probable with the next replicate of the calibration.
    """
    trusted = counts / (1 + counts.sum() / calibration.trusted_transactions)
    mixes: list[Floats] = []
    shares: list[Floats] = []
    for version, usual in zip(cell_likelihoods, _usual(calibration, everyone), strict=False):
        mixes.append(fit_mix(version, trusted, calibration.smoothing_years, usual, random if mixes else None))
        shares.append(_shares(version, counts, mixes[-1]))
    return CircleMix(round(counts.sum()), mixes[0], shares[0], np.stack(mixes[1:]), np.stack(shares[1:]))


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
    value = _index(category.shares, everyone.shares, lower_bounds_years)
    others = _index(category.resampled_shares, everyone.resampled_shares, lower_bounds_years)
    factor = np.exp(NORMAL_QUANTILE_95 * np.log(others).std(axis=0))
    return Estimates(value, value / factor, value * factor)


def group_sums(by_year: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Sum (…, 101) numbers by year of age to (…, groups) by age group."""
    summed: Floats = by_year @ _is_in_group(lower_bounds_years)
    return summed


def seeded(business_date: date, circle: str) -> np.random.Generator:
    """Return the random numbers of a circle on a date: the same in every run of that date."""
    return np.random.default_rng([business_date.toordinal(), zlib.crc32(circle.encode())])


def _usual(calibration: ShiftCalibration, everyone: CircleMix | None) -> Iterable[UsualMix]:
    """Yield what is usual with the calibration, then with each of its replicates."""
    if everyone is None:
        return repeat(UsualMix(calibration.usual_mix))
    mixes = np.vstack([everyone.mix, everyone.resampled_mixes])
    surpluses = np.vstack([everyone.shares, everyone.resampled_shares]) - mixes
    return (UsualMix(mix, surplus, PART_LOG_SPREAD) for mix, surplus in zip(mixes, surpluses, strict=True))


def _mix(logs: Floats) -> Floats:
    """Return the shares whose logarithms are given up to a constant."""
    shares = np.exp(logs - logs.max())
    mix: Floats = shares / shares.sum()
    return mix


def _index(shares: Floats, all_shares: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    own, all_buyers = (group_sums(each, lower_bounds_years) for each in (shares, all_shares))
    index: Floats = np.maximum(own, LEAST_SHARE) / np.maximum(all_buyers, LEAST_SHARE)
    return index


def _of_buyer(cell_likelihoods: Floats, mix: Floats) -> Floats:
    """Return the (k, 101) corrected distributions of a buyer of each cell."""
    mass = cell_likelihoods * mix
    distributions: Floats = mass / mass.sum(axis=1, keepdims=True)
    return distributions


def _slope(cell_likelihoods: Floats, counts: Floats, mix: Floats, basis: Floats) -> tuple[Floats, Floats, Floats]:
    """Return how fast the likelihood grows, and how curved the posterior is: sizes along directions, in columns.

    Along no direction is the posterior taken as less curved than the prior, which has 1 along each.
    """
    of_buyer = _of_buyer(cell_likelihoods, mix)
    surplus = counts @ of_buyer - counts.sum() * mix
    apart = (of_buyer - mix) @ basis
    uphill: Floats = surplus @ basis
    cross = np.outer(uphill, mix @ basis)
    curvature = apart.T @ (counts[:, None] * apart) + cross + cross.T - basis.T @ (surplus[:, None] * basis)
    sizes, directions = np.linalg.eigh(curvature + np.eye(len(uphill)))
    return uphill, np.maximum(sizes, 1.0), directions


def _walk_basis(smoothing_years: float, log_spread: float) -> Floats:
    """Return the (101, knots) matrix that makes independent normal numbers the walk: linear between its knots."""
    distance = np.abs(MIX_KNOTS_YEARS[:, None] - MIX_KNOTS_YEARS) / smoothing_years
    root = np.linalg.cholesky(log_spread**2 * np.exp(-distance))
    between = np.stack([np.interp(YEARS, MIX_KNOTS_YEARS, knot) for knot in np.eye(len(MIX_KNOTS_YEARS))], axis=1)
    basis: Floats = between @ root
    return basis


def _shares(cell_likelihoods: Floats, counts: Floats, mix: Floats) -> Floats:
    """Return the (101,) mean of the buyers' corrected distributions; the mix where there is no buyer."""
    if not counts.sum():
        return mix
    shares: Floats = counts @ _of_buyer(cell_likelihoods, mix) / counts.sum()
    return shares


def _group_weights(cell_likelihoods: Floats, mix: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Return (…, k, groups) P(group) of a buyer of each cell."""
    mass = group_sums(cell_likelihoods * mix[..., None, :], lower_bounds_years)
    weights: Floats = mass / mass.sum(axis=-1, keepdims=True)
    return weights


def _by_place_and_cell(sums: CellSums, values: Floats, shape: tuple[int, int]) -> Floats:
    table = np.zeros(shape)
    np.add.at(table, (sums.place, sums.cell), values)
    return table


def _is_in_group(lower_bounds_years: Sequence[int]) -> Floats:
    """Return (101, groups) 1 where a year of age belongs to a group."""
    group = np.searchsorted(np.asarray(lower_bounds_years), YEARS, side="right") - 1
    is_in_group: Floats = np.eye(len(lower_bounds_years))[group]
    return is_in_group
