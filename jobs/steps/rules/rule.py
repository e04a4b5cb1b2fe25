"""rule: the classes of a rule and its result, and how results stop or pass a run, for check_night and check_window."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import duckdb
import pyarrow as pa

from jobs.errors import FailedCheckError, first_line, one_line
from jobs.schemas.runs import CHECK_RESULTS
from jobs.schemas.table import Table
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """A sentence that is true of a healthy night or window (`name`), and a DuckDB query that finds what violates it.

    The query's first column is a sentence for each violation. A rule that judges one figure returns one row: that
    sentence (null if the rule holds), `measured_value`, `limit_value`, and `not_run_reason` if the figure cannot be
    judged. `$name` in a query is the setting of that name, or business_date, day_begins_at or day_ends_at.

    A rule with `judges_delivery` only warns when erase or rescore rebuilds a day: the receipts of that day were
    published before, and a refusal would keep an erased person in the tables.
    """

    name: str
    severity: Literal["fail", "warn"]
    query: str
    judges_delivery: bool = False


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule: a row of check_results or window_check_results."""

    rule: str
    severity: Literal["fail", "warn"]
    is_broken: bool | None
    findings: list[str]
    not_run_reason: str | None = None
    measured_value: float | None = None
    limit_value: float | None = None

    @property
    def stops_publication(self) -> bool:
        """Whether the result stops publication: a fail rule is broken, or could not be run."""
        return self.severity == "fail" and self.is_broken is not False

    @property
    def sentences(self) -> list[str]:
        """The rule's name with each finding, or with the reason why the rule was not run."""
        return [one_line(f"{self.rule}: {words}") for words in self.findings or [f"was not run: {self.not_run_reason}"]]


def results_of(
    connection: duckdb.DuckDBPyConnection, rules: Iterable[Rule], parameters: Mapping[str, Any]
) -> list[RuleResult]:
    """Run the queries of rules on the tables of a DuckDB connection, and return the result of each rule.

    `parameters` has a value for each `$name` in the queries.
    """
    return [_result(connection, rule, parameters) for rule in rules]


def conclude(
    warehouse: Warehouse, business_date: date, results: Sequence[RuleResult], table: Table, refusal: str
) -> None:
    """Stage the results of all rules as `table`, log the warnings, and mark the run's staged tables as checked.

    Raises FailedCheckError if a fail rule is broken. Its message begins with `refusal` and names each such rule.
    """
    # Staged before the failure is raised, so that a person can read the results of a failed check.
    warehouse.stage_arrow(table, business_date, as_rows(results))
    warnings = [
        sentence
        for result in results
        if result.severity == "warn" and result.is_broken
        for sentence in result.sentences
    ]
    for warning in warnings:
        log.warning("warn: %s", warning)
    failures = [sentence for result in results if result.stops_publication for sentence in result.sentences]
    if failures:
        where = warehouse.staging.location(table, business_date)
        raise FailedCheckError(f"{refusal}: {'; '.join(failures)}; results of all rules: '{where}'")
    # After the results: staging a table withdraws a pass.
    warehouse.staging.mark_checked(business_date, warnings)


def as_rows(results: Sequence[RuleResult]) -> pa.Table:
    """Return the results as rows of check_results or window_check_results, without a run_id."""
    return pa.Table.from_pylist([asdict(result) for result in results], CHECK_RESULTS.schema_without("run_id"))


def _result(connection: duckdb.DuckDBPyConnection, rule: Rule, parameters: Mapping[str, Any]) -> RuleResult:
    # DuckDB refuses parameters that a query does not name.
    named = {name: parameters[name] for name in re.findall(r"\$(\w+)", rule.query)}
    try:
        cursor = connection.execute(rule.query, named)
    except duckdb.BinderException as error:  # a column is missing: the rule of the schema says which
        return RuleResult(rule.name, rule.severity, None, [], first_line(error))
    names = ["finding", *(name for name, *_ in (cursor.description or [])[1:])]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    findings = [row.pop("finding") for row in rows]
    figures = rows[0] if rows else {}
    is_broken = None if figures.get("not_run_reason") else any(finding is not None for finding in findings)
    return RuleResult(
        rule.name, rule.severity, is_broken, [finding for finding in findings if finding is not None], **figures
    )
