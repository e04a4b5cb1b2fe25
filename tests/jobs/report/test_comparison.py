"""Whether a day is called like the week before it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.report.comparison import Comparison, ComparisonLimits, comparison
from jobs.report.day_tables import DayTables
from jobs.settings import Settings, read_settings
from tests.given.rows import BUSINESS_DATE

SETTINGS = read_settings({}, landing_uri="/in", warehouse_uri="/out")
NO_TABLES = duckdb.connect()
USUAL = {
    "transaction_count": 1000,
    "photographed_transaction_count": 900,
    "estimated_transaction_count": 880,
    "mean_estimated_age_years": 38.0,
    "mean_under_18_probability": 0.03,
    "model_version": "age_resnet50-4",
    "warnings": None,
}


def compared(tonight: dict[str, Any], *before: dict[str, Any] | None, settings: Settings = SETTINGS) -> Comparison:
    """Compare a run with those of the days before it, the eve first; None where a day lacks."""
    runs = {BUSINESS_DATE - timedelta(days=n): USUAL | run for n, run in enumerate(before, 1) if run is not None}
    day = DayTables(BUSINESS_DATE, USUAL | tonight, 1, runs, False, NO_TABLES)
    return comparison(day, settings.part(ComparisonLimits))


def verdicts(found: Comparison) -> dict[str, str]:
    return {trend.name: trend.verdict for trend in found.trends if trend.verdict != "alike"}


def test_a_day_as_the_week_before_is_alike() -> None:
    assert compared({}, *[{}] * 7).verdict == "alike"


@pytest.mark.parametrize(
    ("tonight", "unlike"),
    [
        ({"transaction_count": 2100, "photographed_transaction_count": 1890, "estimated_transaction_count": 1848},
         "transaction_count"),
        ({"photographed_transaction_count": 780}, "photographed_share"),
        ({"estimated_transaction_count": 700}, "estimated_share"),
        ({"mean_estimated_age_years": 40.1}, "mean_estimated_age_years"),
        ({"mean_under_18_probability": 0.051}, "mean_under_18_probability"),
    ],
)  # fmt: skip
def test_a_figure_beyond_its_limit_is_named(tonight: dict[str, Any], unlike: str) -> None:
    found = compared(tonight, *[{}] * 7)
    assert (found.verdict, verdicts(found)) == ("unlike", {unlike: "unlike"})


def test_of_three_days_nothing_is_usual_and_of_four_it_is() -> None:
    assert compared({}, {}, None, {}, None, {}).verdict == "too_few_days"
    assert compared({}, {}, None, {}, {}, {}).verdict == "alike"


def test_days_further_back_than_a_week_do_not_count_but_are_shown() -> None:
    found = compared({}, *[None] * 7, *[{}] * 20)
    assert found.verdict == "too_few_days"
    assert len(found.lacking) == 8
    assert sum(value is not None for value in found.trends[0].values.values()) == 21


def test_ages_are_held_against_days_of_the_same_model_only() -> None:
    other = {"model_version": "age_resnet50-3", "mean_estimated_age_years": 45.0}
    found = compared({}, {}, {}, {}, other, other, other, other)
    assert verdicts(found) == dict.fromkeys(["mean_estimated_age_years", "mean_under_18_probability"], "too_few_days")
    assert len(found.other_models) == 4


def test_a_day_without_ages_has_no_such_figure() -> None:
    found = compared({"mean_estimated_age_years": None, "mean_under_18_probability": None}, *[{}] * 7)
    assert found.verdict == "no_figure"


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.integers(0, 5000), min_size=28, max_size=28), st.integers(0, 5000))
def test_every_day_of_the_window_is_shown_or_lacking(counts: list[int | None], tonight: int) -> None:
    before = [None if count is None else {"transaction_count": count} for count in counts]
    found = compared({"transaction_count": tonight}, *before)
    values = found.trends[0].values
    assert {day for day, value in values.items() if value is None} == set(found.lacking)
    assert len(values) == len(found.days) == 29
