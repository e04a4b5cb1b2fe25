"""check_night: runs rules on a run's staged tables. A broken *fail* rule stops publication; a broken *warn* rule warns.

Each rule is one query on the staged tables. DuckDB runs it and not Spark, so that a fault of Spark cannot hide itself.
The result of each rule is a row of check_results. The rows are published with the night; if the check fails, they stay
in the run's staging folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

import duckdb
import pyarrow as pa

from jobs.landing.business_day import BusinessDay, business_day
from jobs.landing.deliveries import receipt_files
from jobs.landing.landed_files import has_known_ending
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.runs import CHECK_RESULTS, PIPELINE_RUNS
from jobs.settings import Settings
from jobs.steps.rules.night_inputs import neighbour_receipts, schema_columns
from jobs.steps.rules.night_rules import RULES, checked_columns
from jobs.steps.rules.rule import Rule, RuleResult, conclude, results_of
from jobs.warehouse.duckdb_tables import staged_tables_in_duckdb
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

RECEIPT_FILES = pa.schema([("source_file", pa.string()), ("has_known_ending", pa.bool_())])


def run(warehouse: Warehouse, business_date: date, settings: Settings, *, is_built_again: bool = False) -> None:
    """Check the run's staged tables by all rules, and stage the results.

    `is_built_again` is true if erase or rescore made the tables from published ones. Raises FailedCheckError that
    names each broken fail rule.
    """
    # An earlier pass ends here: if this check fails or is killed, the run is not published.
    warehouse.staging.withdraw_check(business_date)
    day = business_day(business_date, settings.time_zone, settings.business_date_allowance_minutes)
    landing = ObjectStore(settings.landing_uri)
    columns = {table: checked_columns(table) for table in NIGHT_TABLES}
    others = _compared_with(warehouse, day, landing, settings.trailing_window_days, is_built_again)
    schemas = {table: warehouse.staging.schema(table, business_date) for table in NIGHT_TABLES}
    others["schema_columns"] = schema_columns(schemas)
    with staged_tables_in_duckdb(warehouse.staging, business_date, columns, others) as connection:
        results = check_results(connection, day, settings.model_dump(), RULES, is_built_again=is_built_again)
    conclude(warehouse, business_date, results, CHECK_RESULTS, f"nothing is published for {business_date}")


def _compared_with(
    warehouse: Warehouse, day: BusinessDay, landing: ObjectStore, trailing_window_days: int, is_built_again: bool
) -> dict[str, pa.Table]:
    """Return the tables with which rules compare the staged ones. A day that is built again may be of any size."""
    run_before = None if is_built_again else warehouse.runs.before(day.business_date)
    delivered = receipt_files(landing, day.business_date)
    return {
        "trailing_runs": warehouse.runs.trailing(day.business_date, trailing_window_days),
        "run_before": pa.Table.from_pylist([run_before] if run_before else [], PIPELINE_RUNS.schema),
        "neighbour_receipts": neighbour_receipts(warehouse, day),
        "receipt_files": file_rows(entry.key for entry in delivered),
    }


def file_rows(keys: Iterable[str]) -> pa.Table:
    """Return the table receipt_files that rules read: source_file and has_known_ending of each receipt file."""
    return pa.Table.from_pylist(
        [{"source_file": key, "has_known_ending": has_known_ending(key)} for key in keys], RECEIPT_FILES
    )


def check_results(
    connection: duckdb.DuckDBPyConnection,
    day: BusinessDay,
    settings: Mapping[str, object],
    rules: Sequence[Rule] = RULES,
    *,
    is_built_again: bool = False,
) -> list[RuleResult]:
    """Run rules on the connection's tables. Where a day is built again, rules on its delivery only warn.

    `settings` are all of a night, by name: each query takes those that it names as $name.
    """
    parameters = {
        **settings,
        "business_date": day.business_date,
        "day_begins_at": day.begins_at,
        "day_ends_at": day.ends_at,
    }
    only_warn = [rule for rule in rules if is_built_again and rule.judges_delivery]
    run_as = (replace(rule, severity="warn") if rule in only_warn else rule for rule in rules)
    return results_of(connection, run_as, parameters)
