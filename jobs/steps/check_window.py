"""check_window: rules on the staged tables of a window. A broken *fail* rule publishes nothing.

Each rule is one query that returns a sentence for each thing that is wrong. It sees the staged tables of the window by
their names, and in `days` the published cashier_alcohol_days that the window was made from.
"""

from __future__ import annotations

import logging
from datetime import date

import duckdb
import pyarrow as pa

from jobs.errors import FailedCheckError
from jobs.landing.cashier_pseudonyms import PSEUDONYM
from jobs.schemas.alcohol import CASHIER_ALCOHOL_DAYS
from jobs.schemas.dictionary import WINDOW_TABLES
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)

DAY_COLUMNS = ["store_id", "cashier_id", "sale_count", "run_id"]

FAIL_RULES = {
    "a key is there once": " UNION ALL ".join(
        f"""SELECT format('{table.name}: {{}} keys are there more than once', count(*))
        FROM (SELECT {", ".join(table.key)} FROM {table.name} GROUP BY ALL HAVING count(*) > 1) HAVING count(*) > 0"""
        for table in WINDOW_TABLES
    ),
    "each cashier of the window's days has one row with all sales": """
        SELECT format('store {} cashier {}: {} sales in the days, {} in the audit', store_id, cashier_id,
            days.sale_count, audit.sale_count)
        FROM (SELECT store_id, cashier_id, sum(sale_count) AS sale_count FROM days GROUP BY ALL) AS days
        FULL JOIN cashier_alcohol_audit AS audit USING (store_id, cashier_id)
        WHERE days.sale_count IS DISTINCT FROM audit.sale_count
        ORDER BY ALL LIMIT 5""",
    "a row names the night runs that it was made from": """
        SELECT format('{} rows name others', count(*)) FROM cashier_alcohol_audit
        WHERE list_sort(list_distinct(run_ids)) <> (SELECT coalesce(list_sort(list(DISTINCT run_id)), []) FROM days)
        HAVING count(*) > 0""",
    "a row has a reason, a probability lies between 0 and 1, and an interval around its estimate": """
        SELECT format('{} rows do not', count(*)) FROM cashier_alcohol_audit
        WHERE review_reason IS NULL OR p_value NOT BETWEEN 0 AND 1 OR q_value NOT BETWEEN p_value AND 1
            OR (p_value IS NULL AND review_priority IS NOT NULL)
            OR under_legal_age_unchecked_count_low > under_legal_age_unchecked_count_high
            OR asked_share_difference NOT BETWEEN asked_share_difference_low AND asked_share_difference_high
        HAVING count(*) > 0""",
    "a landed outcome that is not counted has a reason, and of a case one outcome counts at most": """
        SELECT format('{} outcomes have none', count(*)) FROM reviewed_cases
        WHERE outcome_status IS NULL OR (outcome_status <> 'counted' AND outcome_reason IS NULL)
        HAVING count(*) > 0
        UNION ALL
        SELECT format('case {} has {} outcomes that count', case_id, count(*)) FROM reviewed_cases
        WHERE outcome_status = 'counted' GROUP BY case_business_date, case_id HAVING count(*) > 1
        LIMIT 5""",
    "review_precision adds up to the outcomes that count": """
        SELECT format('{} outcomes count, {} in all bands, {} in the bands', n, whole, parts)
        FROM (SELECT count(*) AS n FROM reviewed_cases WHERE outcome_status = 'counted'),
            (SELECT coalesce(sum(reviewed_case_count) FILTER (probability_band = 'all'), 0) AS whole,
                coalesce(sum(reviewed_case_count) FILTER (probability_band <> 'all'), 0) AS parts
            FROM review_precision)
        WHERE (whole, parts) <> (n, n)""",
}

WARN_RULES = {
    "landed outcomes of reviewed cases count": """
        SELECT format('{} of {} are rejected or not listed, such as: {}', count_if(NOT is_known), count(*),
            min(outcome_reason) FILTER (NOT is_known))
        FROM (SELECT *, outcome_status IN ('counted', 'replaced') AS is_known FROM reviewed_cases)
        HAVING count_if(NOT is_known) > 0""",
    "reviewers find as many under age as P(under the legal age) says": """
        SELECT format('{}: {} of {} judged cases, {:.1f} expected', model_version, under_age_case_count,
            judged_case_count, expected_under_age_case_count)
        FROM review_precision WHERE probability_band = 'all' AND calibration_p_value < 0.01 ORDER BY ALL""",
    "all cashier ids of the window are pseudonyms of one key, or none is": f"""
        WITH kinds AS (
            SELECT DISTINCT coalesce(nullif(regexp_extract(cashier_id, '{PSEUDONYM}', 1), ''), 'no key') AS kind
            FROM days)
        SELECT format('there are those of {{}}, and a cashier counts as several', string_agg(kind, ', ' ORDER BY kind))
        FROM kinds HAVING count(*) > 1""",
    "every day of the window is published": """
        SELECT format('{} of {} days are', $published, $wanted) WHERE $published < $wanted""",
}


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    dates = settings.window(business_date)
    days = warehouse.published.read_days(CASHIER_ALCOHOL_DAYS, dates, DAY_COLUMNS)
    with duckdb.connect() as connection:
        connection.register("days", pa.concat_tables(days.values()))
        for table in WINDOW_TABLES:
            connection.register(table.name, warehouse.staging.read_arrow(table, business_date, table.column_names))
        failures = _broken(connection, FAIL_RULES, {})
        warnings = _broken(connection, WARN_RULES, {"published": len(days), "wanted": len(dates)})
    for warning in warnings:
        log.warning("warn: %s", warning)
    if failures:
        raise FailedCheckError(f"no window that ends on {business_date} is published: " + "; ".join(failures))
    warehouse.staging.mark_checked(business_date, warnings)


def _broken(connection: duckdb.DuckDBPyConnection, rules: dict[str, str], parameters: dict[str, int]) -> list[str]:
    """Run rules; return a sentence with the rule's name before it for each thing that is wrong."""
    return [
        f"{name}: {sentence}"
        for name, query in rules.items()
        for (sentence,) in connection.execute(query, _named(query, parameters)).fetchall()
    ]


def _named(query: str, parameters: dict[str, int]) -> dict[str, int]:
    """The parameters that a query names; DuckDB takes no others."""
    return {name: value for name, value in parameters.items() if f"${name}" in query}
