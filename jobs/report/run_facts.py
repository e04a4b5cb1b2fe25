"""run_facts: facts about the run that published a day: its seconds, its checks, and the lines that it rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.report.day_tables import DayTables

REASONS_LISTED = 12

REJECTED = """
SELECT coalesce(rejection_kind, 'of no known kind') AS reason, count(*) AS lines
FROM rejected_transaction_lines GROUP BY ALL ORDER BY lines DESC, reason
"""
"""Kinds are shown and reasons are not: a reason quotes the line, and may name a person. Days that an older version
published have no kinds.
"""

CHECKS = """
SELECT rule, is_broken, not_run_reason, measured_value, limit_value FROM check_results WHERE severity = 'warn'
ORDER BY is_broken DESC NULLS LAST, rule
"""


@dataclass(frozen=True)
class RunFacts:
    """Facts about the run that published the report's day."""

    table_seconds: Mapping[str, float]
    """Seconds that building each table took, longest first."""
    table_tries: Mapping[str, int]
    """The try of its task that built each table; empty where nobody counted."""
    rejected: Sequence[Mapping[str, Any]]
    """Reason and number of lines, most lines first."""
    rejected_reason_count: int
    checks: Sequence[Mapping[str, Any]]
    """The warn rules of check_night and their results."""
    publication_count: int

    @property
    def seconds(self) -> float:
        """Sum of the seconds that all tables took, including tables that were built at the same time."""
        return sum(self.table_seconds.values())

    @property
    def tries_after_the_first(self) -> int | None:
        """Number of retries of table tasks, or None if Airflow did not run the night and so did not count them."""
        return sum(self.table_tries.values()) - len(self.table_tries) if self.table_tries else None

    @property
    def broken(self) -> Sequence[Mapping[str, Any]]:
        """The results of the rules that the night broke."""
        return [check for check in self.checks if check["is_broken"]]


def run_facts(day: DayTables) -> RunFacts:
    """Read the facts about the day's run from pipeline_runs, check_results and rejected_transaction_lines."""
    rejected = day.rows(REJECTED)
    seconds = sorted(dict(day.run["table_seconds"] or {}).items(), key=lambda pair: -pair[1])
    tries = dict(day.run["table_tries"] or {})
    return RunFacts(dict(seconds), tries, rejected[:REASONS_LISTED], len(rejected), day.rows(CHECKS), day.run_count)
