from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jobs.settings import Settings
from jobs.tables.cashier_alcohol_audit import (
    CashierReview,
    between_cashiers_variance,
    cashier_alcohol_audit,
    interval_of_expected_count,
)
from tests.benchmarks.cashier_fairness import Chain, fairness, power
from tests.given.cashier_days import day_of, sales
from tests.given.rows import BUSINESS_DATE


def audit_of(settings: Settings, *rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    audit = cashier_alcohol_audit({BUSINESS_DATE: day_of(*rows)}, settings.part(CashierReview))
    return {row["cashier_id"]: row for row in audit.to_dict("records")}


def test_a_cashier_is_held_against_the_others_of_the_same_till_and_hours(settings: Settings) -> None:
    audit = audit_of(settings, sales("c1", 100, 50), sales("c2", 60, 54, clock="13:59:00"), sales("c3", 100, 100))
    of_c1 = audit["c1"]
    assert of_c1["compared_count"] == pytest.approx(60)
    assert of_c1["compared_asked_share"] == pytest.approx(0.5)
    assert of_c1["expected_asked_share"] == pytest.approx(154 / 160)
    assert of_c1["review_priority"] == 1
    assert of_c1["review_reason"] == (
        "asked less often than chance explains; a person should look at the sales: asked 50% where others at the same "
        f"till and hours asked 96%, 60 expected buyers under 25, q {of_c1['q_value']:.2g}"
    )
    assert pd.isna(audit["c3"]["review_priority"])
    assert audit["c3"]["review_reason"].startswith("no reason to look: asked 100% where others")


@pytest.mark.parametrize("asked", [14, 17, 20, 24])
def test_of_one_stratum_the_p_value_is_that_of_the_hypergeometric_distribution(settings: Settings, asked: int) -> None:
    alone = settings.model_copy(update={"minimum_compared_count": 1.0})
    audit = audit_of(alone, sales("c1", 30, asked), sales("c2", 70, 60))
    exact = stats.hypergeom(100, asked + 60, 30)
    of_c1 = audit["c1"]
    assert of_c1["score"] == pytest.approx(0.6 * (asked - exact.mean()))
    assert of_c1["variance"] == pytest.approx(0.36 * exact.var())
    assert of_c1["third_moment"] == pytest.approx(0.6**3 * exact.stats("s") * exact.std() ** 3)
    in_the_middle = exact.cdf(asked) - exact.pmf(asked) / 2
    assert of_c1["p_value"] == pytest.approx(in_the_middle, rel=0.2)


def test_mean_variance_and_skewness_are_those_of_all_ways_to_spread_the_asked(settings: Settings) -> None:
    random = np.random.default_rng(1)
    rows = [
        sales(cashier, int(random.integers(2, 9)), 1, probability, till_id=till)
        for cashier in ("c1", "c2", "c3")
        for till in ("03", "04")
        for probability in (0.1, 0.4, 0.9)
    ]
    of_c1 = audit_of(settings, *rows)["c1"]
    log = pd.DataFrame([row for sales_of_one in rows for row in sales_of_one])
    log["asked"] = log["id_check"] == "shown"
    spread = np.zeros(40_000)
    for (_, probability), stratum in log.groupby(["till_id", "under_challenge_age_probability"]):
        of_cashier = (stratum["cashier_id"] == "c1").to_numpy()
        asked = random.permuted(np.tile(stratum["asked"].to_numpy(), (len(spread), 1)), axis=1)
        spread += probability * asked[:, of_cashier].sum(axis=1)
    asked_by_c1 = (log["asked"] * log["under_challenge_age_probability"])[log["cashier_id"] == "c1"].sum()
    assert asked_by_c1 - of_c1["score"] == pytest.approx(spread.mean(), abs=0.02)
    assert of_c1["variance"] == pytest.approx(spread.var(), rel=0.03)
    assert of_c1["third_moment"] / of_c1["variance"] ** 1.5 == pytest.approx(stats.skew(spread), abs=0.05)


@pytest.mark.parametrize(
    "elsewhere",
    [{"till_id": "04"}, {"clock": "14:00:00"}, {"probability": 0.9}],
    ids=["another till", "other hours", "buyers who look younger"],
)
def test_nobody_is_held_against_sales_that_are_not_alike(settings: Settings, elsewhere: dict[str, Any]) -> None:
    of_c1 = audit_of(settings, sales("c1", 100, 0), sales("c2", 100, 100, **elsewhere))["c1"]
    assert pd.isna(of_c1["p_value"])
    assert of_c1["review_reason"] == (
        "too few sales to judge: 0 expected buyers under 25 at tills and in hours where another cashier served such "
        "buyers too; 20 are needed"
    )


def test_under_the_minimum_of_cases_there_is_no_priority_but_a_reason(settings: Settings) -> None:
    audit = audit_of(settings, sales("c1", 33, 0), sales("c2", 100, 100))
    assert pd.isna(audit["c1"]["review_priority"])
    assert audit["c1"]["review_reason"].startswith("too few sales to judge: 20 expected buyers under 25")
    enough = settings.model_copy(update={"minimum_compared_count": 19.0})
    assert audit_of(enough, sales("c1", 33, 0), sales("c2", 100, 100))["c1"]["review_priority"] == 1


def test_where_everybody_was_asked_nobody_can_be_told_from_the_others(settings: Settings) -> None:
    of_c1 = audit_of(settings, sales("c1", 100, 100), sales("c2", 100, 100))["c1"]
    assert of_c1["review_reason"].startswith(
        "nothing to compare: all cashiers asked all of 60 expected buyers under 25"
    )


def test_the_difference_is_that_in_the_share_asked_of_buyers_under_the_challenge_age(settings: Settings) -> None:
    """Of 1,000 buyers 600 are under 25; c1 asks 300 of those, c2 all, and neither asks anyone older."""
    of_c1 = audit_of(settings, sales("c1", 1000, 300), sales("c2", 1000, 600))["c1"]
    assert of_c1["asked_share_difference"] == pytest.approx(-0.5)
    assert of_c1["compared_asked_share"] - of_c1["expected_asked_share"] == pytest.approx(-0.3)


def test_days_of_a_window_add_up_and_a_row_names_their_runs(settings: Settings) -> None:
    rows = [sales("c1", 40, 20), sales("c2", 40, 30), sales("c1", 60, 20), sales("c3", 60, 50)]
    together = cashier_alcohol_audit({BUSINESS_DATE: day_of(*rows)}, settings.part(CashierReview))
    days = {
        date(2026, 11, 20): day_of(*rows[2:], run_id="night-2"),
        date(2026, 11, 19): day_of(*rows[:2], run_id="night-1"),
    }
    apart = cashier_alcohol_audit(days, settings.part(CashierReview))
    named = ["run_ids", "day_count"]
    pd.testing.assert_frame_equal(together.drop(columns=named), apart.drop(columns=named))
    assert apart[named].iloc[0].to_list() == [["night-1", "night-2"], 2]


def test_days_without_alcohol_sales_give_no_rows(settings: Settings) -> None:
    audit = cashier_alcohol_audit({BUSINESS_DATE: day_of([])}, settings.part(CashierReview))
    assert len(audit) == 0


def test_q_values_are_those_of_benjamini_and_hochberg_over_who_is_judged(settings: Settings) -> None:
    counts = {"c1": 55, "c2": 68, "c3": 74, "c4": 80, "c5": 82}
    audit = audit_of(settings, *(sales(name, 100, asked) for name, asked in counts.items()), sales("few", 5, 0))
    judged = [audit[name] for name in counts]
    p_values = np.array([row["p_value"] for row in judged])
    ranks = p_values.argsort().argsort() + 1
    stepwise = [min(p * 5 / rank for p, rank in zip(p_values, ranks, strict=True) if p >= own) for own in p_values]
    assert [row["q_value"] for row in judged] == pytest.approx(np.minimum(stepwise, 1))
    assert pd.isna(audit["few"]["q_value"])


def test_an_outlier_does_not_hide_itself_behind_the_dispersion_it_causes() -> None:
    alike = stats.norm.ppf((np.arange(100) + 0.5) / 100)
    errors = np.full(100, 0.05)
    with_outlier = np.append(0.05 * alike[1:], -1.0)
    assert between_cashiers_variance(0.05 * alike, errors) == pytest.approx(0, abs=1e-4)
    assert between_cashiers_variance(with_outlier, errors) < 0.2 * 0.05**2
    assert between_cashiers_variance(np.array([-1.0, 1.0]), errors[:2]) == 0
    assert between_cashiers_variance(0.10 * alike, errors) == pytest.approx(0.10**2 - 0.05**2, rel=0.1)


def test_the_interval_of_an_expected_count_holds_nine_of_ten_counts() -> None:
    random = np.random.default_rng(2)
    for probabilities in (random.beta(0.2, 5, 300), random.beta(1, 1, 60), np.full(500, 0.004)):
        low, high = interval_of_expected_count(
            np.array([probabilities.sum()]), np.array([(probabilities * (1 - probabilities)).sum()])
        )
        counts = (random.random((20_000, len(probabilities))) < probabilities).sum(axis=1)
        assert 0.88 <= ((low <= counts) & (counts <= high)).mean() <= 0.99


def test_nobody_expected_is_nobody_in_the_interval() -> None:
    assert [float(end[0]) for end in interval_of_expected_count(np.zeros(1), np.zeros(1))] == [0.0, 0.0]


def test_where_all_ask_alike_hardly_a_window_names_anyone(settings: Settings) -> None:
    small = Chain(stores=4, sales_per_shift=30)
    assert fairness(small, 12, settings)["named"] <= 2
    assert fairness(Chain(stores=4, sales_per_shift=30, knows_degraded=False), 12, settings)["named"] <= 2


def test_a_cashier_who_asks_far_less_than_the_others_is_named(settings: Settings) -> None:
    assert power(Chain(stores=4, lax_cases=120), 5, settings)["named"] >= 4
