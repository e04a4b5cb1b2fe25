"""age_group_estimates: estimates how much each age group bought, and what it buys more often than all buyers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.ages.age_mix_estimation import BuyerGroupMix
from jobs.ages.age_mix_fit import YEARS, Floats, Integers

LEAST_SHARE = 1e-9
"""Floor of a share, so that an index is never divided by 0."""
NORMAL_QUANTILE_95 = 1.6448536269514722
"""90 % of a normal distribution lie within so many standard deviations of its mean."""


@dataclass(frozen=True)
class Estimates:
    """Estimated numbers and the ends of their 90 % intervals, as three arrays of the same shape."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class GroupEstimates:
    """Estimated receipts, units and money by store and age group, each of shape (stores, groups)."""

    transaction_count: Estimates
    quantity: Estimates
    net_amount: Estimates


@dataclass(frozen=True)
class CellSums:
    """Sums over the transactions of a group of buyers, one per store and cell: (n,) arrays of the same length.

    Stores are numbered from 0. Sums of squares add up the squares of single transactions.
    """

    store_index: Integers
    cell: Integers
    """Row of the cell in the likelihoods, not the number of the cell."""
    transaction_count: Floats
    quantity: Floats
    squared_quantity: Floats
    net_amount: Floats
    squared_net_amount: Floats


def estimate_groups(
    likelihoods_by_cell: Floats,
    buyer_group: BuyerGroupMix,
    sums: CellSums,
    store_count: int,
    lower_bounds_years: Sequence[int],
) -> GroupEstimates:
    """Estimate what each age group bought at each store, with 90 % intervals for what it really bought.

    All stores share the mix of ages of the group of buyers; the photos are each store's own. The interval covers two
    uncertainties: the age of each buyer, given the photo, and the mix and the calibration. Sums over age groups equal
    the sums over all transactions.
    """
    weights = _group_weights(likelihoods_by_cell[0], buyer_group.mix, lower_bounds_years)
    others = _group_weights(likelihoods_by_cell[1:], buyer_group.resampled_mixes, lower_bounds_years)

    def estimates(total: Floats, squares: Floats) -> Estimates:
        by_cell = _by_store_and_cell(sums, total, (store_count, len(weights)))
        value = by_cell @ weights
        # Two variances add up: between equally probable mixes, and within the mix, where each buyer's group is chance.
        between = ((by_cell @ others - value) ** 2).mean(axis=0)
        within = _by_store_and_cell(sums, squares, (store_count, len(weights))) @ (weights * (1 - weights))
        margin = NORMAL_QUANTILE_95 * np.sqrt(between + within)
        return Estimates(value, value - margin, value + margin)

    counted = estimates(sums.transaction_count, sums.transaction_count)
    # A count is at least 0 and at most all transactions. Amounts may be negative, so their intervals are not cut.
    most = counted.value.sum(axis=1, keepdims=True)
    return GroupEstimates(
        Estimates(counted.value, np.maximum(counted.low, 0.0), np.minimum(counted.high, most)),
        estimates(sums.quantity, sums.squared_quantity),
        estimates(sums.net_amount, sums.squared_net_amount),
    )


def affinity(category: BuyerGroupMix, everyone: BuyerGroupMix, lower_bounds_years: Sequence[int]) -> Estimates:
    """Estimate how many times as often as all buyers each age group buys a category: (groups,), with 90 % intervals."""
    value = _index(category.shares, everyone.shares, lower_bounds_years)
    others = _index(category.resampled_shares, everyone.resampled_shares, lower_bounds_years)
    # An index is a ratio, so its interval is symmetric on the scale of logarithms.
    factor = np.exp(NORMAL_QUANTILE_95 * np.log(others).std(axis=0))
    return Estimates(value, value / factor, value * factor)


def group_sums(by_year: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Sum numbers by year of age, of shape (…, 101), to numbers by age group, of shape (…, groups)."""
    summed: Floats = by_year @ _is_in_group(lower_bounds_years)
    return summed


def _index(shares: Floats, all_shares: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    own, all_buyers = (group_sums(each, lower_bounds_years) for each in (shares, all_shares))
    index: Floats = np.maximum(own, LEAST_SHARE) / np.maximum(all_buyers, LEAST_SHARE)
    return index


def _group_weights(likelihoods_by_cell: Floats, mix: Floats, lower_bounds_years: Sequence[int]) -> Floats:
    """Return the (…, k, groups) probabilities that a buyer of each cell belongs to each age group."""
    mass = group_sums(likelihoods_by_cell * mix[..., None, :], lower_bounds_years)
    weights: Floats = mass / mass.sum(axis=-1, keepdims=True)
    return weights


def _by_store_and_cell(sums: CellSums, values: Floats, shape: tuple[int, int]) -> Floats:
    table = np.zeros(shape)
    # Unlike `table[...] +=`, add.at adds up several rows of the same store and cell.
    np.add.at(table, (sums.store_index, sums.cell), values)
    return table


def _is_in_group(lower_bounds_years: Sequence[int]) -> Floats:
    """Return a (101, groups) matrix with 1 where a year of age belongs to a group."""
    group = np.searchsorted(np.asarray(lower_bounds_years), YEARS, side="right") - 1
    is_in_group: Floats = np.eye(len(lower_bounds_years))[group]
    return is_in_group
