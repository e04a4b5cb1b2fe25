import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from models.evaluation.age_metrics import (
    ERROR_HEADINGS,
    JudgedAges,
    challenge_figures,
    confusion,
    error_cells,
    expected_calibration_error,
    metrics,
    named_rows,
    quantile_bin_rows,
    ranged,
    reliability,
    wilson_interval,
)
from models.evaluation.bootstrap import GroupBootstrap


def surely(*ages_years: int) -> np.ndarray:
    return np.eye(101)[list(ages_years)]


def judged(estimated: list[int], ages: list[int]) -> JudgedAges:
    return JudgedAges.of(surely(*estimated), np.array(ages), interval_mass=0.9)


def each_alone(count: int) -> GroupBootstrap:
    return GroupBootstrap(np.arange(count))


def test_errors_are_counted_in_years_and_by_band_of_true_age() -> None:
    found = metrics(judged([20, 30, 40, 80], [20, 24, 44, 70]), each_alone(4))
    assert (found["mae"], found["bias"], found["photo_count"]) == (5.0, 3.0, 4)
    assert (found["within_5_years_share"], found["interval_coverage"]) == (0.5, 0.25)
    assert [(row["age_band"], row["photo_count"], row["mae"], row["bias"]) for row in found["by_age_band"]] == [
        ("18-24", 2, 3.0, 3.0),
        ("35-44", 1, 4.0, -4.0),
        ("65+", 1, 10.0, 10.0),
    ]


def test_the_bootstrap_interval_is_that_of_scipy_and_the_same_each_time() -> None:
    errors = np.random.default_rng(1).integers(-10, 11, 400)
    one, other = (metrics(judged(list(50 + errors), [50] * 400), each_alone(400)) for _ in range(2))
    by_scipy = scipy_bootstrap(
        (np.abs(errors),), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    assert one["mae_interval_95"] == pytest.approx((by_scipy.low, by_scipy.high), abs=0.06)
    assert one == other


def test_near_duplicates_do_not_narrow_the_interval() -> None:
    errors = np.random.default_rng(1).normal(0, 5, 200)[:, None]
    every = np.ones(200, dtype=bool)
    (alone,) = each_alone(200).mean_intervals(errors, every)
    copies = GroupBootstrap(np.repeat(np.arange(200), 4))
    (four_times,) = copies.mean_intervals(np.repeat(errors, 4, axis=0), np.repeat(every, 4))
    assert four_times == pytest.approx(alone)
    (as_if_new,) = each_alone(800).mean_intervals(np.repeat(errors, 4, axis=0), np.repeat(every, 4))
    assert as_if_new[1] - as_if_new[0] == pytest.approx((alone[1] - alone[0]) / 2, rel=0.1)


def test_calibration_error_is_the_gap_between_said_and_seen() -> None:
    said = np.array([0.95, 0.95, 0.95, 0.95, 0.15, 0.15])
    happened = np.array([True, True, True, False, False, False])
    assert expected_calibration_error(said, happened) == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0.0


def test_reliability_counts_said_and_seen_by_bin() -> None:
    half_17_half_30 = (surely(17, 17) + surely(30, 30)) / 2
    people = JudgedAges.of(np.concatenate([half_17_half_30, surely(40, 40)]), np.array([16, 35, 40, 15]), 0.9)
    found = reliability(people, 18, each_alone(4))
    assert [(each["photo_count"], each["said"], each["seen"]) for each in found["bins"]] == [
        (2, 0.0, 0.5),
        (2, 0.5, 0.5),
    ]
    assert found["calibration_error"] == pytest.approx(0.25)
    low, high = found["calibration_error_interval_95"]
    assert low <= 0.25 <= high


def test_challenge_25_counts_minors_who_pass_and_adults_who_are_asked() -> None:
    found = challenge_figures(judged([25, 24, 30, 26, 24, 20, 33], [13, 17, 12, 18, 25, 34, 30]), each_alone(7))
    assert found["false_positive_rate"] == 0.5
    assert found["challenged_18_24_share"] == 0.0
    assert found["challenged_25_34_share"] == pytest.approx(2 / 3)
    assert (found["people_13_17_count"], found["people_25_34_count"]) == (2, 3)
    assert challenge_figures(judged([30], [30]), each_alone(1))["false_positive_rate"] is None


def test_a_share_of_none_of_few_people_is_not_surely_none() -> None:
    found = challenge_figures(judged([20, 20], [17, 17]), each_alone(2))
    assert (found["false_positive_rate"], found["false_positive_rate_interval_95"]) == (0.0, wilson_interval(0, 2))


def test_confusion_counts_true_by_estimated_age_group() -> None:
    counts = np.array(confusion(judged([17, 18, 24, 66], [18, 18, 30, 64]))["counts"])
    assert {(int(row), int(column)): int(counts[row, column]) for row, column in np.argwhere(counts)} == {
        (1, 0): 1,
        (1, 1): 1,
        (2, 1): 1,
        (5, 6): 1,
    }


def test_quantile_bins_share_out_photos_and_keep_equal_values_together() -> None:
    bins = quantile_bin_rows(np.array([1.0, 2, 3, 4, 5, 6, 7, 8]))
    assert [int(rows.sum()) for rows in bins.values()] == [2, 2, 2, 2]
    assert {name: rows.tolist() for name, rows in quantile_bin_rows(np.array([200.0, 200.0])).items()} == {
        "200": [True, True]
    }


def test_photos_without_a_name_are_in_no_group() -> None:
    assert {name: rows.tolist() for name, rows in named_rows(["a", None, "b", "a"]).items()} == {
        "a": [True, False, False, True],
        "b": [False, False, True, False],
    }


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0.0, 1.96**2 / (10 + 1.96**2)), abs=1e-4)


def test_a_share_of_nobody_is_a_dash() -> None:
    assert ranged({"rate": None, "rate_interval_95": None}, "rate", ".1%") == "–"


def test_a_figure_without_an_interval_stands_alone() -> None:
    assert ranged({"mae": 5.126}, "mae", ".2f") == "5.13"


def test_a_row_of_errors_has_a_cell_below_each_heading() -> None:
    figures = dict.fromkeys(("mae", "bias", "within_5_years_share", "interval_coverage", "interval_width_years"), 0.5)
    cells = error_cells({"photo_count": 7, **figures, "mae_interval_95": (0.25, 0.75)})
    assert cells == ["7", "0.50 [0.25 to 0.75]", "+0.50", "50%", "50.0%", "0.5"]
    assert len(cells) == len(ERROR_HEADINGS)
