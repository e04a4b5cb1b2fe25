"""comparison: compares a day's figures with those of the week before it, and lists the figures of earlier days.

The limits are those of check_night. That step compares a day with the median of four weeks (a setting); here it is the
median of the seven days before. Ages are compared only with days of the same age model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any, Literal

from jobs.report.day_tables import DayTables

WEEK_DAYS = 7
FEWEST_DAYS = 4
"""With fewer published days in the week before, no value is called usual."""

Run = Mapping[str, Any]
Verdict = Literal["alike", "unlike", "too_few_days", "no_figure"]


@dataclass(frozen=True)
class ComparisonLimits:
    """The settings by which a day is compared: the length of the window, and how far figures may be from the usual."""

    trailing_window_days: int
    max_volume_ratio_warning: float
    max_coverage_drop_warning: float
    max_unknown_share_rise_warning: float
    max_mean_age_drift_warning_years: float
    max_under_18_drift_warning: float


@dataclass(frozen=True)
class Figure:
    """A figure of a day's run, such as its share of receipts with a photo, and the limit of its change."""

    name: str
    value: Callable[[Run], float | None]
    change: Callable[[float, float], float]
    """(tonight, usual) ► the number that is compared with the limit."""
    limit: str
    """Name of the setting."""
    is_of_ages: bool = False


@dataclass(frozen=True)
class Trend:
    """A figure by day (None for a missing day), and how the report's day compares with the week before it."""

    name: str
    values: Mapping[date, float | None]
    tonight: float | None
    usual: float | None
    lowest: float | None
    highest: float | None
    week_day_count: int
    change: float | None
    limit: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """A day's figures compared with those of the days before it."""

    days: Sequence[date]
    """The days of the window; the day itself is the last."""
    trends: Sequence[Trend]
    warnings: Mapping[date, Sequence[str]]
    """The warnings of check_night, by published day."""
    lacking: Sequence[date]
    """Days of the window that are not published."""
    other_models: Mapping[date, str]
    """Age models of days with another model than this day."""

    @property
    def verdict(self) -> Verdict:
        """The verdict on all figures together: alike, unlike, no_figure or too_few_days."""
        verdicts = {trend.verdict for trend in self.trends}
        # The worst verdict counts, in this order.
        return next(each for each in ("unlike", "no_figure", "too_few_days", "alike") if each in verdicts)


def _ratio(numerator: str, denominator: str) -> Callable[[Run], float | None]:
    return lambda run: (
        run[numerator] / run[denominator] if run.get(numerator) is not None and run[denominator] else None
    )


def _distance(tonight: float, usual: float) -> float:
    return abs(tonight - usual)


FIGURES = (
    Figure(
        "transaction_count",
        lambda run: float(run["transaction_count"]),
        # The floor is for days without transactions.
        lambda tonight, usual: max(tonight, usual) / max(min(tonight, usual), 1e-9),
        "max_volume_ratio_warning",
    ),
    Figure(
        "photographed_share",
        _ratio("photographed_transaction_count", "transaction_count"),
        _distance,
        "max_coverage_drop_warning",
    ),
    Figure(
        "estimated_share",
        _ratio("estimated_transaction_count", "transaction_count"),
        _distance,
        "max_unknown_share_rise_warning",
    ),
    Figure(
        "mean_estimated_age_years",
        lambda run: run["mean_estimated_age_years"],
        _distance,
        "max_mean_age_drift_warning_years",
        is_of_ages=True,
    ),
    Figure(
        "mean_under_18_probability",
        lambda run: run["mean_under_18_probability"],
        _distance,
        "max_under_18_drift_warning",
        is_of_ages=True,
    ),
)


def comparison(day: DayTables, limits: ComparisonLimits) -> Comparison:
    """Compare the day's run with those of the days before."""
    runs = {**day.runs_before, day.business_date: day.run}
    days = [day.business_date - timedelta(days=number) for number in range(limits.trailing_window_days, -1, -1)]
    return Comparison(
        days,
        [_trend(figure, day, runs, days, getattr(limits, figure.limit)) for figure in FIGURES],
        {each: runs[each]["warnings"] or [] for each in days if each in runs},
        [each for each in days if each not in runs],
        {each: run["model_version"] for each, run in runs.items() if run["model_version"] != day.run["model_version"]},
    )


def _trend(figure: Figure, day: DayTables, runs: Mapping[date, Run], days: Sequence[date], limit: float) -> Trend:
    values = {each: figure.value(runs[each]) if each in runs else None for each in days}
    tonight = values[day.business_date]
    week = [
        value
        for each in days[-WEEK_DAYS - 1 : -1]
        if (value := values[each]) is not None and (not figure.is_of_ages or _same_model(runs[each], day.run))
    ]
    usual = median(week) if len(week) >= FEWEST_DAYS else None
    change = figure.change(tonight, usual) if tonight is not None and usual is not None else None
    return Trend(
        figure.name,
        values,
        tonight,
        usual,
        min(week, default=None),
        max(week, default=None),
        len(week),
        change,
        limit,
        _verdict(tonight, change, limit),
    )


def _same_model(run: Run, other: Run) -> bool:
    return bool(run["model_version"] == other["model_version"])


def _verdict(tonight: float | None, change: float | None, limit: float) -> Verdict:
    if tonight is None:
        return "no_figure"
    if change is None:
        return "too_few_days"
    return "unlike" if change > limit else "alike"
