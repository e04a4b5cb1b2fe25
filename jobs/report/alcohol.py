"""alcohol: counts the day's alcohol sales, from all of them to young-looking buyers who were asked for an ID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.report.day_tables import DayTables
from jobs.report.small_counts import shown

FUNNEL = """
SELECT count(*) AS sales,
    count_if(estimate_status = 'estimated') AS estimated,
    count_if(looks_young) AS looks_young,
    count_if(looks_young AND id_check IN ('shown', 'refused_sale')) AS asked,
    count_if(looks_young AND id_check = 'not_asked') AS not_asked,
    count_if(looks_young AND id_check IS NULL) AS not_logged,
    coalesce(sum(under_challenge_age_probability), 0) AS expected_young,
    any_value(challenge_age_years) AS challenge_age_years,
    any_value(legal_purchase_age_years) AS legal_purchase_age_years
FROM (SELECT *, coalesce(under_challenge_age_probability >= $alert, false) AS looks_young FROM alcohol_sale_audit)
"""

STATUSES = """
SELECT audit_status, count(*) AS sales, sum(under_legal_age_probability) AS expected_under_legal_age
FROM alcohol_sale_audit GROUP BY ALL ORDER BY sales DESC, audit_status
"""

NOT_JUDGED = """
SELECT estimate_status, count(*) AS sales FROM alcohol_sale_audit WHERE audit_status = 'no_estimate'
GROUP BY ALL ORDER BY sales DESC, estimate_status
"""


@dataclass(frozen=True)
class Alcohol:
    """Counts of a day's alcohol sales, for the report."""

    funnel: Mapping[str, Any]
    """Counts by name, and the ages of the policy."""
    statuses: Sequence[Mapping[str, Any]]
    """audit_status, sales, expected_under_legal_age; most sales first."""
    not_judged: Sequence[Mapping[str, Any]]
    """Rows of estimate_status and sales, for sales in which the buyer's age could not be judged."""
    review_case_count: float

    @property
    def not_judged_count(self) -> float:
        """Number of sales in which the buyer's age could not be judged."""
        return float(sum(row["sales"] for row in self.not_judged))


def alcohol(day: DayTables, alert_probability: float, minimum_cell_count: int) -> Alcohol:
    """Count the sales of alcohol_sale_audit; with a minimum_cell_count cell count, in multiples of it."""
    (funnel,) = day.rows(FUNNEL, alert=alert_probability)
    counts = {
        name: value if name.endswith("_years") else shown(value, minimum_cell_count) for name, value in funnel.items()
    }
    return Alcohol(
        counts,
        _shown(day, STATUSES, minimum_cell_count),
        _shown(day, NOT_JUDGED, minimum_cell_count),
        _review_cases(day, minimum_cell_count),
    )


def _shown(day: DayTables, query: str, minimum: int) -> list[dict[str, Any]]:
    return [
        {name: shown(value, minimum) if isinstance(value, int | float) else value for name, value in row.items()}
        for row in day.rows(query)
    ]


def _review_cases(day: DayTables, minimum: int) -> float:
    (row,) = day.rows("SELECT count(*) AS cases FROM alcohol_review_cases")
    return shown(row["cases"], minimum)
