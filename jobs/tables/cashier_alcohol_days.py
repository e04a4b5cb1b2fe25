"""cashier_alcohol_days: counts and sums of each cashier's alcohol sales of one day, for the audit of 28 days.

All counts and sums add up over days. An estimate counts with its probability, never as a fact: a buyer who is under 25
with probability 0.4 counts as 0.4 of a buyer under 25. A cashier can only be compared with others who serve buyers who
look alike, at the same till at about the same time. `strata` keeps the sums for this comparison inside the cashier's
row, so the table has one row per cashier and day however fine the comparison is.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.settings import Settings
from jobs.warehouse.duckdb_tables import source_tables_in_duckdb
from jobs.warehouse.warehouse import Warehouse

COLUMNS = {
    ALCOHOL_SALE_AUDIT: (
        *CASHIER_ALCOHOL_DAYS.key,
        "till_id",
        "closed_at",
        "audit_status",
        "id_check",
        "estimate_status",
        "under_legal_age_probability",
        "under_challenge_age_probability",
    )
}
PROBABILITY_BANDS_PERCENT = (0, 5, 15, 30, 50, 70, 85)
"""Lower ends of the bands of P(under the challenge age); buyers of one band are taken to look alike. Days published
with other bands cannot be compared with new ones.
"""

QUERY = """
WITH facts AS (
    SELECT store_id, cashier_id, till_id, audit_status,
        audit_status NOT IN ('sale_refused', 'sale_voided') AS is_sale,
        is_sale AND id_check IS NULL AS is_check_not_logged,
        is_sale AND estimate_status = 'estimated' AS is_estimated_sale,
        audit_status = 'sale_refused' OR (is_sale AND id_check IS NOT DISTINCT FROM 'shown') AS is_asked,
        is_sale AND id_check IS NOT DISTINCT FROM 'not_asked' AS is_not_asked,
        under_legal_age_probability AS under_legal_age,
        under_challenge_age_probability AS under_challenge_age,
        -- The store's hour, not UTC: the audit compares hours of the store's day.
        hour(timezone($time_zone, closed_at))::INT AS hour,
        -- The highest of the ends that are not above the value is its band's; null without an estimate.
        list_max(list_filter($bands, lambda low: 100 * under_challenge_age >= low))::INT AS probability_band
    FROM alcohol_sale_audit
),
strata AS (
    SELECT store_id, cashier_id, till_id, hour, probability_band, count(*) AS case_count,
        count(*) FILTER (is_asked) AS asked_count, sum(under_challenge_age) AS under_challenge_age_count
    FROM facts WHERE (is_asked OR is_not_asked) AND probability_band IS NOT NULL GROUP BY ALL
),
strata_of_cashiers AS (
    SELECT store_id, cashier_id, list({
        'till_id': till_id, 'hour': hour, 'probability_band': probability_band, 'case_count': case_count,
        'asked_count': asked_count, 'under_challenge_age_count': under_challenge_age_count
    } ORDER BY till_id, hour, probability_band) AS strata
    FROM strata GROUP BY ALL
),
cashiers AS (
    SELECT store_id, cashier_id,
        count(*) FILTER (is_sale) AS sale_count,
        count(*) FILTER (audit_status = 'sale_refused') AS refused_count,
        count(*) FILTER (audit_status = 'sale_voided') AS voided_count,
        count(*) FILTER (is_estimated_sale) AS estimated_sale_count,
        count(*) FILTER (is_check_not_logged) AS check_not_logged_count,
        {expected_numbers}
    FROM facts GROUP BY ALL
)
-- A cashier without comparable sales keeps the row of counts.
FROM cashiers LEFT JOIN strata_of_cashiers USING (store_id, cashier_id)
"""
EXPECTED_NUMBERS = {
    "under_legal_age": ("under_legal_age", "is_estimated_sale"),
    "under_challenge_age": ("under_challenge_age", "is_estimated_sale"),
    "under_legal_age_unchecked": ("under_legal_age", "is_not_asked"),
    "asked": ("under_challenge_age", "is_asked"),
    "not_asked": ("under_challenge_age", "is_not_asked"),
}
"""The probability that is summed, and the sales over which; sales without an estimate add nothing."""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    with source_tables_in_duckdb(warehouse.staging, business_date, COLUMNS) as connection:
        cashier_days = cashier_alcohol_days(connection, settings.store_time_zone)
    warehouse.stage_arrow(CASHIER_ALCOHOL_DAYS, business_date, cashier_days)


def cashier_alcohol_days(connection: duckdb.DuckDBPyConnection, store_time_zone: str) -> pa.Table:
    """Return one row per cashier with additive counts, expected numbers of young buyers and their variances.

    `connection` has the table of COLUMNS. A sale at a till that logs no check counts neither as asked nor as not asked.
    A refused sale is not a sale, but its buyer was asked. A voided sale counts as voided only.
    """
    query = QUERY.replace("{expected_numbers}", _expected_numbers())
    values = {"time_zone": store_time_zone, "bands": list(PROBABILITY_BANDS_PERCENT)}
    return connection.execute(query, values).to_arrow_table()


def _expected_numbers() -> str:
    """Return the SQL of sums of probabilities, each with its variance."""
    # A sum over no rows is null, and null would not add up over days.
    return ",\n        ".join(
        f"coalesce(sum({p}) FILTER ({sales}), 0) AS {name}_count, "
        f"coalesce(sum({p} * (1 - {p})) FILTER ({sales}), 0) AS {name}_variance"
        for name, (p, sales) in EXPECTED_NUMBERS.items()
    )
