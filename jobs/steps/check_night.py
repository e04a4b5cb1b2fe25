"""check_night: rules on a run's staged tables. A broken *fail* rule publishes nothing, a *warn* rule is recorded.

Each rule is one query on the staged tables. DuckDB runs it, not Spark, so that whoever checks is not whoever made the
tables. What each rule found is a row of check_results: published with the night, and left in the run's staging folder
where the night fails.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Literal

import duckdb
import pyarrow as pa

from jobs.errors import FailedCheckError, first_line, one_line
from jobs.landing.business_day import BusinessDay, business_day
from jobs.landing.deliveries import receipt_files
from jobs.landing.landed_files import has_known_ending
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.runs import CHECK_RESULTS, PIPELINE_RUNS
from jobs.settings import Settings
from jobs.steps.rules.night_database import neighbour_receipts, night_database
from jobs.steps.rules.night_rules import RULES, checked_columns
from jobs.steps.rules.rule import Rule
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)

RECEIPT_FILES = pa.schema([("source_file", pa.string()), ("has_known_ending", pa.bool_())])


@dataclass(frozen=True)
class RuleResult:
    """What came of a rule: a row of check_results."""

    rule: str
    severity: Literal["fail", "warn"]
    is_broken: bool | None
    findings: list[str]
    not_run_reason: str | None = None
    measured_value: float | None = None
    limit_value: float | None = None

    @property
    def stops_the_night(self) -> bool:
        """A fail rule that was not run has not been kept."""
        return self.severity == "fail" and self.is_broken is not False

    @property
    def sentences(self) -> list[str]:
        """The findings, or why there are none, with the rule's name before them."""
        return [one_line(f"{self.rule}: {words}") for words in self.findings or [f"was not run: {self.not_run_reason}"]]


def run(warehouse: Warehouse, business_date: date, settings: Settings, *, is_built_again: bool = False) -> None:
    """Hold the staged tables against all rules. `is_built_again`: by erase or rescore, from what was published before.

    Raises FailedCheckError naming each fail rule that is broken.
    """
    warehouse.staging.withdraw_check(business_date)
    columns = {table: checked_columns(table) for table in NIGHT_TABLES}
    others = _compared_with(warehouse, business_day(business_date, settings), settings, is_built_again)
    with night_database(warehouse, business_date, columns, others) as connection:
        results = check_results(connection, business_date, settings, RULES, is_built_again=is_built_again)
    warehouse.stage_arrow(CHECK_RESULTS, business_date, as_rows(results))
    warnings = [
        sentence
        for result in results
        if result.severity == "warn" and result.is_broken
        for sentence in result.sentences
    ]
    for warning in warnings:
        log.warning("warn: %s", warning)
    failures = [sentence for result in results if result.stops_the_night for sentence in result.sentences]
    if failures:
        where = warehouse.staging.location(CHECK_RESULTS, business_date)
        raise FailedCheckError(
            f"nothing is published for {business_date}: {'; '.join(failures)}; results of all rules: '{where}'"
        )
    warehouse.staging.mark_checked(business_date, warnings)


def _compared_with(
    warehouse: Warehouse, day: BusinessDay, settings: Settings, is_built_again: bool
) -> dict[str, pa.Table]:
    """Return what rules compare the staged tables with. A day that is built again may be as small as it comes out."""
    run_before = None if is_built_again else warehouse.runs.before(day.business_date)
    delivered = receipt_files(ObjectStore(settings.landing_uri), day.business_date)
    return {
        "trailing_runs": warehouse.runs.trailing(day.business_date, settings.trailing_window_days),
        "run_before": pa.Table.from_pylist([run_before] if run_before else [], PIPELINE_RUNS.schema),
        "neighbour_receipts": neighbour_receipts(warehouse, day),
        "receipt_files": file_rows(entry.key for entry in delivered),
    }


def file_rows(keys: Iterable[str]) -> pa.Table:
    """Return the table receipt_files of the rules: source_file and has_known_ending."""
    return pa.Table.from_pylist(
        [{"source_file": key, "has_known_ending": has_known_ending(key)} for key in keys], RECEIPT_FILES
    )


def check_results(
    connection: duckdb.DuckDBPyConnection,
    business_date: date,
    settings: Settings,
    rules: Sequence[Rule] = RULES,
    *,
    is_built_again: bool = False,
) -> list[RuleResult]:
    """Run rules on the connection's tables; where a day is built again, rules on its delivery only warn."""
    day = business_day(business_date, settings)
    parameters = settings.model_dump() | {
        "business_date": business_date,
        "day_begins_at": day.begins_at,
        "day_ends_at": day.ends_at,
    }
    only_warn = [rule for rule in rules if is_built_again and rule.judges_delivery]
    run_as = (replace(rule, severity="warn") if rule in only_warn else rule for rule in rules)
    return [_result(connection, rule, parameters) for rule in run_as]


def as_rows(results: list[RuleResult]) -> pa.Table:
    """Return the results as rows of check_results, without a run_id."""
    schema = pa.schema([field for field in CHECK_RESULTS.schema if field.name != "run_id"])
    return pa.Table.from_pylist([asdict(result) for result in results], schema)


def _result(connection: duckdb.DuckDBPyConnection, rule: Rule, parameters: Mapping[str, Any]) -> RuleResult:
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
