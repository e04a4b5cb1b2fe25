"""cashiers: how often each cashier asks for an ID compared with the others, as a funnel plot without names.

Each point is a cashier who is judged in cashier_alcohol_audit. Points further right have more comparable sales to young
buyers, so the control limits are narrower there. Between the limits, a difference may be due to chance, or to habits
that differ without anyone's fault. Source: Spiegelhalter 2005, Funnel plots for comparing institutional performance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

from jobs.ages.age_group_estimates import NORMAL_QUANTILE_95
from jobs.report.day_tables import DayTables

CONTROL_LIMITS = {0.9: NORMAL_QUANTILE_95, 0.998: NormalDist().inv_cdf(0.999)}
"""Share of cashiers between the limits if all ask alike, and the limits in standard errors."""

JUDGED = """
SELECT asked_share_difference AS difference, asked_share_difference_low AS low, asked_share_difference_high AS high,
    compared_count, review_priority IS NOT NULL AS is_to_be_looked_at
FROM cashier_alcohol_audit WHERE asked_share_difference IS NOT NULL ORDER BY compared_count, difference
"""

WINDOW = """
SELECT count(*) AS cashiers, any_value(window_first_date) AS first_date, any_value(day_count) AS days,
    sum(asked_count) AS asked, sum(not_asked_count) AS not_asked FROM cashier_alcohol_audit
"""


@dataclass(frozen=True)
class Cashier:
    """A judged cashier without a name: how much more often than others the cashier asks, with the 90 % interval."""

    difference: float
    low: float
    high: float
    compared_count: float
    is_to_be_looked_at: bool

    @property
    def standard_error(self) -> float:
        """The standard error of the difference, computed from its interval."""
        return (self.high - self.low) / (2 * NORMAL_QUANTILE_95)

    @property
    def precision(self) -> float:
        """One over the variance of the difference: the higher, the more is known about the cashier."""
        return self.standard_error**-2 if self.standard_error > 0 else 0.0


@dataclass(frozen=True)
class Cashiers:
    """The cashiers of the window that ends on the report's day."""

    is_published: bool
    cashier_count: int
    judged: Sequence[Cashier]
    first_date: date | None
    day_count: int
    asked: float
    not_asked: float

    @property
    def to_be_looked_at_count(self) -> int:
        """Number of cashiers who ask so rarely that a person should look at their sales."""
        return sum(cashier.is_to_be_looked_at for cashier in self.judged)


def cashiers(day: DayTables) -> Cashiers:
    """Return the judged cashiers of the window that ends on the day, from the least to the best known."""
    (window,) = day.rows(WINDOW)
    judged = [Cashier(**row) for row in day.rows(JUDGED)]
    return Cashiers(
        day.has_window,
        window["cashiers"],
        judged,
        window["first_date"],
        window["days"] or 0,
        window["asked"] or 0.0,
        window["not_asked"] or 0.0,
    )
