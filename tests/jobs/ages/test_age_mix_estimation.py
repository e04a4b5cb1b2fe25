from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from jobs.ages.age_group_estimates import CellSums, affinity, estimate_groups, group_sums
from jobs.ages.age_mix_estimation import (
    BuyerGroupMix,
    Replicate,
    ShiftCalibration,
    buyer_group_mix,
    buyer_group_of,
    cell_likelihoods,
    cell_numbers,
    columns_of,
    corrected,
    likelihoods,
    seeded,
)
from jobs.ages.age_mix_fit import EVEN_MIX, MIX_KNOTS_YEARS, SHOP_LOG_SPREAD, YEARS, fit_mix
from jobs.ages.shift_calibration import shift_calibration
from models.serving.model_versions import MODEL_VERSIONS
from tests.given.simulated_buyers import (
    BOUNDS,
    Cells,
    buyer_groups_of,
    cells_of,
    distance,
    draw_ages,
    exact_calibration,
    other_shop,
    planted,
    seen,
    shares_of,
    sums_of_one_place,
    trained_ages,
)

BUSINESS_DATE = date(2026, 11, 20)


def day_of_buyers(seed, count=5000):
    random = np.random.default_rng(seed)
    ages = draw_ages(other_shop(random), count, random)
    return ages, seen(ages, random)


def estimated_counts(distributions, calibration, seed=0):
    cells, cell_rows, everyone, _ = buyer_groups_of(distributions, calibration, seed)
    return estimate_groups(cell_rows, everyone, sums_of_one_place(cells), 1, BOUNDS).transaction_count


def test_a_likelihood_is_the_distribution_over_the_ages_it_leans_to():
    distribution = seen(np.array([30]), np.random.default_rng(1))
    calibration = Replicate(2.0, YEARS / 100, trained_ages())
    expected = distribution**2 * np.exp(YEARS / 100) / trained_ages()
    assert np.allclose(likelihoods(distribution, calibration), np.maximum(expected / expected.max(), 1e-9))


def test_no_shift_in_no_shift_out():
    distributions = seen(np.array([16, 30, 70]), np.random.default_rng(1))
    unchanged = corrected(distributions, trained_ages(), exact_calibration())
    assert np.allclose(unchanged, distributions, atol=1e-6)


def test_a_part_that_looks_like_all_buyers_buys_as_they_do():
    _, distributions = day_of_buyers(1)
    cells = cells_of(distributions)
    calibration = exact_calibration()
    rows = cell_likelihoods(cells.distribution, calibration)
    everyone = buyer_group_mix(rows, cells.transaction_count, calibration, np.random.default_rng(1))
    part = buyer_group_mix(rows, cells.transaction_count / 4, calibration, np.random.default_rng(2), everyone)
    assert np.allclose(affinity(part, everyone, BOUNDS).value, 1.0, atol=1e-3)


def test_the_mix_is_the_one_that_a_plain_optimiser_finds():
    _, distributions = day_of_buyers(2, 300)
    rows = likelihoods(distributions, exact_calibration())
    distance_years = np.abs(MIX_KNOTS_YEARS[:, None] - MIX_KNOTS_YEARS)
    precision = np.linalg.inv(SHOP_LOG_SPREAD**2 * np.exp(-distance_years / 20.0))

    def mix_at(log_ratios):
        shares = np.exp(np.interp(YEARS, MIX_KNOTS_YEARS, log_ratios))
        return shares / shares.sum()

    def loss(log_ratios):
        return -np.log(rows @ mix_at(log_ratios)).sum() + log_ratios @ precision @ log_ratios / 2

    plain = minimize(loss, np.zeros(len(MIX_KNOTS_YEARS)), method="L-BFGS-B", options={"maxfun": 10**6})
    found = fit_mix(rows, np.ones(len(rows)), 20.0)
    assert distance(found, mix_at(plain.x)) < 1e-3


def test_many_buyers_corrected_with_the_mix_have_the_mix():
    _, distributions = day_of_buyers(3, 4000)
    rows = likelihoods(distributions, exact_calibration())
    mix = fit_mix(rows, np.ones(len(rows)), 20.0)
    of_buyer = rows * mix / (rows @ mix)[:, None]
    assert distance(group_sums(of_buyer.mean(axis=0), BOUNDS), group_sums(mix, BOUNDS)) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_cells_give_what_single_buyers_give(seed):
    _, distributions = day_of_buyers(seed, 3000)
    calibration = exact_calibration()
    single = Cells(np.arange(3000), np.ones(3000), distributions)
    cells = cells_of(distributions)
    by_cell, by_buyer = (group_sums(_shares(each, calibration), BOUNDS) for each in (cells, single))
    assert len(cells.transaction_count) < 400
    assert distance(by_cell, by_buyer) < 0.001


def _shares(cells, calibration):
    rows = likelihoods(cells.distribution, calibration)
    mix = fit_mix(rows, cells.transaction_count, calibration.smoothing_years)
    of_buyer = rows * mix / (rows @ mix)[:, None]
    return cells.transaction_count @ of_buyer / cells.transaction_count.sum()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 5))
def test_estimates_add_up_to_what_was_sold_at_each_place(seed, count, store_count):
    random = np.random.default_rng(seed)
    cells = cells_of(seen(random.integers(0, 101, count), random))
    calibration = exact_calibration()
    rows = cell_likelihoods(cells.distribution, calibration)
    buyer_group = buyer_group_mix(rows, cells.transaction_count, calibration, random)
    place = random.integers(0, store_count, count)
    quantity, amount = random.integers(-2, 9, count).astype(float), random.normal(5, 9, count).round(2)
    sums = CellSums(place, cells.cell, np.ones(count), quantity, quantity**2, amount, amount**2)
    estimates = estimate_groups(rows, buyer_group, sums, store_count, BOUNDS)
    for estimated, sold in (
        (estimates.transaction_count, np.ones(count)),
        (estimates.quantity, quantity),
        (estimates.net_amount, amount),
    ):
        assert np.allclose(estimated.value.sum(axis=1), np.bincount(place, sold, store_count), rtol=0, atol=1e-9)
        assert (estimated.low <= estimated.value + 1e-9).all()
        assert (estimated.value <= estimated.high + 1e-9).all()
    assert (estimates.transaction_count.low >= 0).all()


def test_a_place_without_buyers_has_nothing():
    _, distributions = day_of_buyers(1, 50)
    cells = cells_of(distributions)
    rows = cell_likelihoods(cells.distribution, exact_calibration())
    buyer_group = buyer_group_mix(rows, cells.transaction_count, exact_calibration(), np.random.default_rng(1))
    estimates = estimate_groups(rows, buyer_group, sums_of_one_place(cells), 2, BOUNDS)
    assert not estimates.transaction_count.high[1].any()


def test_without_buyers_the_mix_is_the_usual_one():
    usual = other_shop(np.random.default_rng(1)) + 1e-9
    calibration = ShiftCalibration(1.0, np.zeros(101), EVEN_MIX, 20.0, 500.0, (), usual / usual.sum())
    rows = cell_likelihoods(np.empty((0, 101)), calibration)
    buyer_group = buyer_group_mix(rows, np.empty(0), calibration, np.random.default_rng(1))
    assert buyer_group.transaction_count == 0
    assert np.allclose(buyer_group.mix, calibration.usual_mix)
    assert np.allclose(buyer_group.shares, calibration.usual_mix)
    assert cell_numbers(np.empty((0, 101))).shape == (0,)


def test_one_buyer_is_one_buyer():
    counted = estimated_counts(seen(np.array([40]), np.random.default_rng(1)), exact_calibration())
    assert counted.value.sum() == pytest.approx(1.0, abs=1e-9)
    assert (counted.high <= 1.0 + 1e-9).all()


def test_buyers_who_are_certainly_of_one_group_are_all_counted_there():
    certain = np.eye(101)[[30] * 50]
    counted = estimated_counts(certain, exact_calibration())
    assert np.allclose(counted.value[0], [0, 0, 50, 0, 0, 0, 0], atol=1e-3)
    assert counted.low[0, 2] > 49.9


def test_a_group_beyond_the_ages_of_the_model_is_empty():
    assert group_sums(EVEN_MIX, (0, 65, 101)).tolist() == pytest.approx([65 / 101, 36 / 101, 0])


def test_intervals_are_the_same_in_every_run_of_a_date_and_others_for_other_buyer_groups():
    _, distributions = day_of_buyers(4, 400)
    cells = cells_of(distributions)
    rows = cell_likelihoods(cells.distribution, exact_calibration())

    def resampled(business_date, buyer_group):
        random = seeded(business_date, buyer_group)
        return buyer_group_mix(rows, cells.transaction_count, exact_calibration(), random).resampled_mixes

    once = resampled(BUSINESS_DATE, "all")
    assert np.array_equal(once, resampled(BUSINESS_DATE, "all"))
    assert not np.array_equal(once, resampled(BUSINESS_DATE, "alcohol"))
    assert not np.array_equal(once, resampled(date(2026, 11, 21), "all"))


def test_shares_of_simulated_days_are_near_the_truth_and_their_intervals_hold_it():
    distances, holds = [], []
    for seed in range(6):
        ages, distributions = day_of_buyers(seed)
        counted, realised = estimated_counts(distributions, exact_calibration(), seed), shares_of(ages)
        low, high = counted.low[0] / len(ages), counted.high[0] / len(ages)
        distances.append(distance(counted.value[0] / len(ages), realised))
        holds.append(((low <= realised) & (realised <= high)) | ((realised < 0.01) & (high < 0.02)))
    assert np.mean(distances) <= 0.05
    assert np.mean(holds) >= 0.85


def test_a_category_for_the_young_is_found():
    indices = []
    for seed in range(4):
        ages, distributions = day_of_buyers(seed)
        is_bought = planted(ages, np.random.default_rng(seed), times=3.0, share=0.2)
        _, _, everyone, category = buyer_groups_of(distributions, exact_calibration(), seed, is_bought)
        indices.append(affinity(category, everyone, BOUNDS).value)
    assert 2.4 <= np.mean(indices, axis=0)[1] <= 3.6
    assert (np.argmax(indices, axis=1) == 1).all()


@pytest.mark.parametrize("version", MODEL_VERSIONS)
def test_each_model_version_has_a_shift_calibration(version):
    calibration = shift_calibration(version)
    for shares in (calibration.prior, calibration.usual_mix):
        assert shares.min() > 0
        assert shares.sum() == pytest.approx(1.0)
    assert len(cell_likelihoods(EVEN_MIX[None], calibration)) > 20


def test_a_buyer_group_comes_back_from_its_columns() -> None:
    random = np.random.default_rng(1)
    buyer_group = BuyerGroupMix(
        7, random.random(101), random.random(101), random.random((3, 101)), random.random((3, 101))
    )
    found = buyer_group_of(columns_of(buyer_group))
    for name, value in vars(buyer_group).items():
        assert getattr(found, name) == pytest.approx(value)
