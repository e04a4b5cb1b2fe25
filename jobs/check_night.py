"""check_night: rules on a run's staged tables. A broken *fail* rule publishes nothing, a *warn* rule is recorded.

Each rule is one query on the staged tables that returns a sentence for each thing that is wrong. DuckDB runs it,
not Spark, so that whoever checks is not whoever made the tables.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import Literal

import duckdb

from jobs import tables
from jobs.errors import FailedCheckError
from jobs.settings import Settings
from jobs.till_clocks import DISAGREEING_CLOCKS
from jobs.warehouse import Warehouse

log = logging.getLogger(__name__)

COLUMNS_CHECKED = {
    tables.CHECKOUT_PHOTOS: ["photo_key", "store_id", "till_id", "taken_at", "transaction_id"],
    tables.PHOTO_AGE_ESTIMATES: ["photo_key", "estimate_status", "estimate_reason"],
    tables.TRANSACTION_LINES: [*tables.TRANSACTION_KEY, "line_type", "is_alcohol", "quantity", "net_amount"],
    tables.REJECTED_TRANSACTION_LINES: ["rejection_reason"],
    tables.TRANSACTION_AGES: [
        *tables.TRANSACTION_KEY,
        "opened_at",
        "closed_at",
        "till_clock_skew_seconds",
        "photo_offset_seconds",
        "estimate_status",
        "estimate_reason",
        "photo_keys",
    ],
    tables.AGE_GROUP_PURCHASES: ["line_count", "quantity", "net_amount"],
    tables.ALCOHOL_SALE_AUDIT: [*tables.TRANSACTION_KEY, "audit_status", "audit_reason"],
}


@dataclass(frozen=True)
class Rule:
    """A query that returns one sentence per thing that is wrong."""

    name: str
    severity: Literal["fail", "warn"]
    query: str


RULES = (
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
        """SELECT format('{:.0f} % of {} transactions have none', 100 * share, n) FROM (
            SELECT avg((estimate_status <> 'estimated')::INT) AS share, count(*) AS n FROM transaction_ages
        ) WHERE share > $max_unknown_share""",
    ),
    Rule("each till's clock agrees with its camera's", "warn", DISAGREEING_CLOCKS),
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
    connection = duckdb.connect()
    for table, columns in COLUMNS_CHECKED.items():
        connection.register(table.name, warehouse.read_arrow(table, business_date, columns))
    failures, warnings = broken_rules(connection, settings)
    for warning in warnings:
        log.warning("warn: %s", warning)
    if failures:
        raise FailedCheckError(f"nothing is published for {business_date}: " + "; ".join(failures))
    warehouse.mark_checked(business_date, warnings)


def broken_rules(connection: duckdb.DuckDBPyConnection, settings: Settings) -> tuple[list[str], list[str]]:
    """Run all rules on the connection's tables; return the sentences of broken fail rules and warn rules."""
    limits = {
        "max_unknown_share": settings.max_unknown_share_warning,
        "till_clock_drift_warning_seconds": settings.till_clock_drift_warning_seconds,
    }
    broken: dict[str, list[str]] = {"fail": [], "warn": []}
    for rule in RULES:
        parameters = {name: limit for name, limit in limits.items() if f"${name}" in rule.query}
        found = connection.execute(rule.query, parameters).fetchall()
        broken[rule.severity] += [f"{rule.name}: {sentence}" for (sentence,) in found]
    return broken["fail"], broken["warn"]
