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

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

YEARS_OF_AGE = 101
YEARS = np.arange(YEARS_OF_AGE)

CELL_YEARS = 0.5
"""Buyers of a cell look equally old to so many years."""
CELL_SPREADS_YEARS = (1.5, 2.5, 3.5, 4.5, 6.0, 8.0, 11.0)
"""Bounds between steps of the standard deviation of a buyer's distribution."""

RESAMPLINGS = 30
"""How often transactions are resampled where the calibration has no replicates."""
NORMAL_QUANTILE_95 = 1.6448536269514722
LOWEST_LIKELIHOOD = 1e-9
"""No photo makes an age impossible."""

EVEN_MIX = np.full(YEARS_OF_AGE, 1 / YEARS_OF_AGE)
NO_SURPLUS = np.zeros(YEARS_OF_AGE)
MIX_KNOTS_YEARS = np.arange(0, YEARS_OF_AGE, 4)
MIX_LOG_SPREAD = 0.8
"""Standard deviation of the logarithm of a shop's share of an age over the usual one."""
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
    photo_count: float
    """How many photos it was fitted on."""
    replicates: tuple[Replicate, ...] = ()
    """The same fitted on resamples of the photos: what the calibration does not know."""
    usual_mix: Floats = field(default_factory=lambda: EVEN_MIX)
    """(101,) shares of ages in shops of which nothing is known, all above 0."""


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
    usual_mix: Floats = EVEN_MIX,
    usual_surplus: Floats = NO_SURPLUS,
) -> Floats:
    """Return the (101,) shares of ages of buyers from their (k, 101) likelihoods and (k,) counts.

    The most probable mix, if the logarithm of its ratio to the usual one is a random walk over ages that forgets after
    `smoothing_years`. Without buyers it is the usual one, and so it is if the mean of their corrected distributions
    exceeds the usual mix by `usual_surplus`, (101,): what a mix that is drawn to another leaves unexplained.
    Sources: Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities", for the likelihood; Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", for the
    Ornstein–Uhlenbeck prior and for Newton's method on it.
    """
    basis, log_usual = _walk_basis(smoothing_years), np.log(usual_mix)
    at = step = np.zeros(basis.shape[1])
    mix: Floats = usual_mix
    value, length = -np.inf, 1.0
    usual_pull = counts.sum() * (usual_surplus @ basis)
    for _ in range(MOST_STEPS):
        proposed = at + length * step
        proposed_mix = _mix(log_usual + basis @ proposed)
        proposed_value = counts @ np.log(cell_likelihoods @ proposed_mix) - usual_pull @ proposed
        proposed_value -= proposed @ proposed / 2
        if proposed_value < value:
            length /= 4
            continue
        gain = proposed_value - value
        at, mix, value, length = proposed, proposed_mix, proposed_value, 1.0
        if gain < SETTLED:
            break
        step = _newton_step(cell_likelihoods, counts, mix, at + usual_pull, basis)
    return mix


def circle_mix(
    cell_likelihoods: Floats,
    counts: Floats,
    calibration: ShiftCalibration,
    random: np.random.Generator,
    everyone: CircleMix | None = None,
) -> CircleMix:
    """Return the ages of a circle of buyers with (1 + r, k, 101) likelihoods and (k,) counts of its cells.

    The usual mix of a part of the buyers is that of `everyone`; a part that looks like them all has it exactly. Many transactions weigh no more than the photos of the
    calibration do, whose chance faults they share. Each resampling draws the counts anew and takes the next replicate.
    """
    trust = 1 / (1 + counts.sum() / calibration.photo_count)
    mixes, shares = [], []
    for version, (usual_mix, usual_surplus) in zip(cell_likelihoods, _usual(calibration, everyone), strict=False):
        drawn = random.poisson(counts).astype(np.float64) if mixes else counts
        mixes.append(fit_mix(version, trust * drawn, calibration.smoothing_years, usual_mix, usual_surplus))
        shares.append(_shares(version, drawn, mixes[-1]))
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
    own, all_buyers = (group_sums(each.shares, lower_bounds_years) for each in (category, everyone))
    resampled = (group_sums(each.resampled_shares, lower_bounds_years) for each in (category, everyone))
    own_logs, all_logs = (np.log(np.maximum(shares, 1e-12)) for shares in resampled)
    value = own / np.maximum(all_buyers, 1e-12)
    factor = np.exp(NORMAL_QUANTILE_95 * (own_logs - all_logs).std(axis=0))
    return Estimates(value, value / factor, value * factor)


def group_sums(by_year: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Sum (…, 101) numbers by year of age to (…, groups) by age group."""
    summed: Floats = by_year @ _is_in_group(lower_bounds_years)
    return summed


def seeded(business_date: date, circle: str) -> np.random.Generator:
    """Return the random numbers of a circle on a date: the same in every run of that date."""
    return np.random.default_rng([business_date.toordinal(), zlib.crc32(circle.encode())])


def _usual(calibration: ShiftCalibration, everyone: CircleMix | None) -> Iterable[tuple[Floats, Floats]]:
    """Yield the usual mix and its surplus for the calibration, then for each of its replicates."""
    if everyone is None:
        return repeat((calibration.usual_mix, NO_SURPLUS))
    mixes = np.vstack([everyone.mix, everyone.resampled_mixes])
    return zip(mixes, np.vstack([everyone.shares, everyone.resampled_shares]) - mixes, strict=True)


def _mix(logs: Floats) -> Floats:
    """Return the shares whose logarithms are given up to a constant."""
    shares = np.exp(logs - logs.max())
    mix: Floats = shares / shares.sum()
    return mix


def _of_buyer(cell_likelihoods: Floats, mix: Floats) -> Floats:
    """Return the (k, 101) corrected distributions of a buyer of each cell."""
    mass = cell_likelihoods * mix
    distributions: Floats = mass / mass.sum(axis=1, keepdims=True)
    return distributions


def _newton_step(cell_likelihoods: Floats, counts: Floats, mix: Floats, pull: Floats, basis: Floats) -> Floats:
    """Return the (knots,) step uphill; along no direction is the posterior taken as less curved than the prior."""
    of_buyer = _of_buyer(cell_likelihoods, mix)
    surplus = counts @ of_buyer - counts.sum() * mix
    apart = (of_buyer - mix) @ basis
    cross = np.outer(surplus @ basis, mix @ basis)
    curvature = apart.T @ (counts[:, None] * apart) + cross + cross.T - basis.T @ (surplus[:, None] * basis)
    sizes, directions = np.linalg.eigh(curvature + np.eye(len(pull)))
    step: Floats = directions @ (directions.T @ (surplus @ basis - pull) / np.maximum(sizes, 1.0))
    return step


def _walk_basis(smoothing_years: float) -> Floats:
    """Return the (101, knots) matrix that makes independent normal numbers the walk: linear between its knots."""
    distance = np.abs(MIX_KNOTS_YEARS[:, None] - MIX_KNOTS_YEARS) / smoothing_years
    root = np.linalg.cholesky(MIX_LOG_SPREAD**2 * np.exp(-distance))
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
