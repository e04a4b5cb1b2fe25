"""check_night: rules on a run's staged tables. A broken *fail* rule publishes nothing, a *warn* rule is recorded.

Each rule is one query on the staged tables. DuckDB runs it, not Spark, so that whoever checks is not whoever made the
tables. What each rule found is a row of check_results: published with the night, and left in the run's staging folder
where the night fails.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import duckdb
import pyarrow as pa

from jobs import tables
from jobs.errors import FailedCheckError
from jobs.night_database import night_database
from jobs.settings import Settings
from jobs.tables import Table
from jobs.warehouse import Warehouse

log = logging.getLogger(__name__)

COLUMNS_CHECKED = {
    tables.CHECKOUT_PHOTOS: ["photo_key"],
    tables.PHOTO_AGE_ESTIMATES: ["photo_key", "estimate_status", "estimate_reason"],
    tables.TRANSACTION_LINES: [*tables.TRANSACTION_KEY, "line_type", "is_alcohol", "quantity", "net_amount"],
    tables.REJECTED_TRANSACTION_LINES: ["rejection_reason"],
    tables.TRANSACTION_AGES: [*tables.TRANSACTION_KEY, "estimate_status", "estimate_reason", "photo_keys"],
    tables.AGE_GROUP_PURCHASES: ["line_count", "quantity", "net_amount"],
    tables.ALCOHOL_SALE_AUDIT: [*tables.TRANSACTION_KEY, "audit_status", "audit_reason"],
}


@dataclass(frozen=True)
class Rule:
    """A sentence that holds on a sound night, and the query that looks whether it does.

    The query's first column is a sentence for each thing that is wrong. A rule that judges one figure returns one row:
    that sentence, or null while the rule holds, `measured_value`, `limit_value`, and `not_run_reason` where it may have
    one. `$name` is a setting of that name, or business_date.
    """

    name: str
    severity: Literal["fail", "warn"]
    query: str


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
        """The findings with the rule's name before them."""
        found = self.findings or ([f"was not run: {self.not_run_reason}"] if self.not_run_reason else [])
        return [f"{self.rule}: {finding}" for finding in found]


def _repeated_keys(table: Table) -> str:
    key = ", ".join(table.key)
    return f"""SELECT format('{table.name}: {{}} keys are there more than once', count(*))
        FROM (SELECT {key} FROM {table.name} GROUP BY {key} HAVING count(*) > 1) HAVING count(*) > 0"""


def _missing_keys(table: Table) -> str:
    is_missing = " OR ".join(f"{name} IS NULL" for name in table.key)
    return f"""SELECT format('{table.name}: {{}} rows lack a part of the key', count(*))
        FROM {table.name} WHERE {is_missing} HAVING count(*) > 0"""


RULES = (
    Rule(
        "every table has the columns that it declares",
        "fail",
        """SELECT format('{}: column {} is {} in the schema and {} in the file', table_name, column_name,
            coalesce(declared.column_type, 'absent'), coalesce(staged.column_type, 'absent'))
        FROM (FROM schema_columns WHERE origin = 'declared') AS declared
        FULL JOIN (FROM schema_columns WHERE origin = 'staged') AS staged USING (table_name, column_name)
        WHERE declared.column_type IS DISTINCT FROM staged.column_type ORDER BY ALL""",
    ),
    Rule(
        "a key is there once",
        "fail",
        " UNION ALL ".join(_repeated_keys(table) for table in tables.NIGHT_TABLES),
    ),
    Rule(
        "every row has its key",
        "fail",
        " UNION ALL ".join(_missing_keys(table) for table in tables.NIGHT_TABLES),
    ),
    Rule(
        "ten photos in, ten rows out",
        "fail",
        """SELECT format('{} photos landed, {} rows of estimates', landed, estimated)
        FROM (SELECT count(*) AS landed FROM checkout_photos), (SELECT count(*) AS estimated FROM photo_age_estimates)
        WHERE landed <> estimated OR EXISTS (FROM photo_age_estimates ANTI JOIN checkout_photos USING (photo_key))""",
    ),
    Rule(
        "a photo without an estimate has a reason",
        "fail",
        """SELECT format('{} photos have neither', count(*)) FROM photo_age_estimates
        WHERE estimate_status IS NULL OR (estimate_status <> 'estimated' AND estimate_reason IS NULL)
        HAVING count(*) > 0""",
    ),
    Rule(
        "a rejected line has a reason",
        "fail",
        """SELECT format('{} have none', count(*)) FROM rejected_transaction_lines WHERE rejection_reason IS NULL
        HAVING count(*) > 0""",
    ),
    Rule(
        "each transaction of the log has one row of ages",
        "fail",
        """SELECT format('{} transactions in the log, {} in transaction_ages', logged, aged)
        FROM (SELECT count(*) AS logged
              FROM (SELECT DISTINCT store_id, till_id, transaction_id FROM transaction_lines)),
        (SELECT count(*) AS aged FROM transaction_ages)
        WHERE logged <> aged""",
    ),
    Rule(
        "a photo belongs to one transaction at most",
        "fail",
        """SELECT format('{} photos are in several', count(*)) FROM (
            FROM (SELECT unnest(photo_keys) AS photo_key FROM transaction_ages) SELECT photo_key
            GROUP BY photo_key HAVING count(*) > 1
        ) HAVING count(*) > 0""",
    ),
    Rule(
        "age_group_purchases adds up to the log",
        "fail",
        """SELECT format('log: {} lines, {} units, {}; table: {} lines, {} units, {}', l.n, l.q, l.a, p.n, p.q, p.a)
        FROM (SELECT count(*) AS n, coalesce(sum(quantity), 0) AS q, coalesce(sum(net_amount), 0) AS a
              FROM transaction_lines) l,
             (SELECT coalesce(sum(line_count), 0) AS n, coalesce(sum(quantity), 0) AS q,
                     coalesce(sum(net_amount), 0) AS a
              FROM age_group_purchases) p
        WHERE (l.n, l.q, l.a) <> (p.n, p.q, p.a)""",
    ),
    Rule(
        "each alcohol sale of the log is audited once, with a status and a reason",
        "fail",
        """SELECT format('{} in the log, {} with status and reason in the audit', sold, audited)
        FROM (SELECT count(*) AS sold
              FROM (SELECT DISTINCT store_id, till_id, transaction_id FROM transaction_lines
                    WHERE is_alcohol AND line_type = 'sale')),
        (SELECT count(*) AS audited FROM alcohol_sale_audit
         WHERE audit_status IS NOT NULL AND audit_reason IS NOT NULL)
        WHERE sold <> audited""",
    ),
    Rule(
        "most transactions have an age estimate",
        "warn",
        """SELECT CASE WHEN share > limit_value
                THEN format('{:.0f} % of {} transactions have none', 100 * share, n) END AS finding,
            share AS measured_value, limit_value
        FROM (
            SELECT avg((estimate_status <> 'estimated')::INT) AS share, count(*) AS n,
                $max_unknown_share_warning AS limit_value
            FROM transaction_ages
        )""",
    ),
    Rule("the day has photos", "warn", "SELECT 'none landed' FROM checkout_photos HAVING count(*) = 0"),
    Rule("the day has receipts", "warn", "SELECT 'no valid line' FROM transaction_lines HAVING count(*) = 0"),
    Rule(
        "receipt lines keep the contract",
        "warn",
        """SELECT format('{} lines rejected, such as: {}', count(*), min(rejection_reason))
        FROM rejected_transaction_lines HAVING count(*) > 0""",
    ),
)


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    warehouse.withdraw_check(business_date)
    columns = {table: checked_columns(table) for table in tables.NIGHT_TABLES}
    with night_database(warehouse, business_date, columns) as connection:
        results = check_results(connection, business_date, settings)
    warehouse.stage_arrow(tables.CHECK_RESULTS, business_date, as_rows(results))
    warnings = [sentence for result in results if result.severity == "warn" for sentence in result.sentences]
    for warning in warnings:
        log.warning("warn: %s", warning)
    failures = [sentence for result in results if result.stops_the_night for sentence in result.sentences]
    if failures:
        where = warehouse.staged_location(tables.CHECK_RESULTS, business_date)
        raise FailedCheckError(
            f"nothing is published for {business_date}: {'; '.join(failures)}; results of all rules: '{where}'"
        )
    warehouse.mark_checked(business_date, warnings)


def checked_columns(table: Table) -> list[str]:
    """Return the columns of a table that rules look at, its key among them."""
    return list(dict.fromkeys([*table.key, *COLUMNS_CHECKED.get(table, [])]))


def check_results(connection: duckdb.DuckDBPyConnection, business_date: date, settings: Settings) -> list[RuleResult]:
    """Run all rules on the connection's tables."""
    parameters = settings.model_dump() | {"business_date": business_date}
    return [_result(connection, rule, parameters) for rule in RULES]


def as_rows(results: list[RuleResult]) -> pa.Table:
    """Return the results as rows of check_results, without a run_id."""
    schema = pa.schema([field for field in tables.CHECK_RESULTS.schema if field.name != "run_id"])
    return pa.Table.from_pylist([asdict(result) for result in results], schema)


def _result(connection: duckdb.DuckDBPyConnection, rule: Rule, parameters: Mapping[str, Any]) -> RuleResult:
    named = {name: parameters[name] for name in re.findall(r"\$(\w+)", rule.query)}
    try:
        cursor = connection.execute(rule.query, named)
    except duckdb.BinderException as error:  # a column is missing: the rule of the schema says which
        return RuleResult(rule.name, rule.severity, None, [], str(error).splitlines()[0])
    names = ["finding", *(name for name, *_ in (cursor.description or [])[1:])]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    findings = [row.pop("finding") for row in rows]
    figures = rows[0] if rows else {}
    is_broken = None if figures.get("not_run_reason") else any(finding is not None for finding in findings)
    return RuleResult(
        rule.name, rule.severity, is_broken, [finding for finding in findings if finding is not None], **figures
    )
