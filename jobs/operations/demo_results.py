"""demo_results: renders the demo's results for README.md: what the tables say, next to the truth of the sample day."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from jobs.schemas.buyers import UNKNOWN
from jobs.settings import Settings

LOWER_BOUNDS_YEARS: tuple[int, ...] = Settings.model_fields["age_group_lower_bounds_years"].default

PURCHASES_HEADER = "| age group | by true age | by estimated age, corrected | by point estimate |"
PURCHASES_QUERY = """
WITH bought_for AS (
    SELECT store_id, till_id, transaction_id, sum(net_amount) AS net_amount FROM transaction_lines GROUP BY ALL
), by_true_age AS (
    SELECT CASE WHEN age_group = '{unknown}' THEN age_group {true_bands} END AS age_group,
        sum(net_amount) AS true_amount
    FROM bought_for JOIN transaction_ages USING (store_id, till_id, transaction_id)
    JOIN read_csv({truth}, all_varchar = true) AS truth USING (store_id, till_id, transaction_id)
    WHERE kind = 'transaction' GROUP BY ALL
), by_estimate AS (
    SELECT age_group, sum(estimated_net_amount) AS estimated, sum(net_amount) AS by_point
    FROM age_group_purchases GROUP BY ALL
)
SELECT age_group, coalesce(true_amount, 0), coalesce(estimated, 0), coalesce(by_point, 0)
FROM by_true_age FULL JOIN by_estimate USING (age_group) ORDER BY age_group"""
"""Buyers without an estimate are 'unknown' in each column, so that the columns tell of the same buyers."""

AFFINITY_HEADER = "| age group | buys more often than all buyers do | how many times as often | 90 % interval |"
AFFINITY_QUERY = """
SELECT age_group, product_category, affinity_index, affinity_index_low, affinity_index_high
FROM age_group_affinity WHERE affinity_index_low > 1
ORDER BY affinity_index DESC, age_group, product_category LIMIT 4"""

SALE_HEADER = "| receipt | `audit_status` | `audit_reason` | true age |"
SALE_QUERY = """
SELECT transaction_id, audit_status, audit_reason, true_age_years
FROM alcohol_sale_audit
JOIN read_csv({truth}, all_varchar = true) AS truth USING (store_id, till_id, transaction_id)
WHERE kind = 'transaction' AND audit_status IN ('possibly_under_age_unchecked', 'challenge_age_unchecked')
ORDER BY under_legal_age_probability DESC, transaction_id LIMIT 1"""

CLOSENESS_QUERY = """
SELECT count(*), avg(abs(estimated_age_years - true_age_years::INT)), avg(estimated_age_years - true_age_years::INT)
FROM photo_age_estimates JOIN read_csv({truth}, all_varchar = true) AS truth USING (photo_key)
WHERE kind = 'photo' AND estimate_status = 'estimated' AND true_age_years IS NOT NULL"""


def demo_results(catalogue: Path, truth: Path) -> str:
    """Render the demo's results as markdown, from its catalogue and truth.csv: three tables, and the errors of ages."""
    file = f"'{truth}'"
    with duckdb.connect(catalogue, read_only=True) as connection:
        purchases = connection.sql(purchases_query(file)).fetchall()
        affinities = connection.sql(AFFINITY_QUERY).fetchall()
        sales = connection.sql(SALE_QUERY.format(truth=file)).fetchall()
        ((photo_count, error, bias),) = connection.sql(CLOSENESS_QUERY.format(truth=file)).fetchall()
    tables = [
        _table(PURCHASES_HEADER, [(group, *(f"{amount:,.2f}" for amount in amounts)) for group, *amounts in purchases]),
        _table(
            AFFINITY_HEADER,
            [(*named, f"{index:.1f}", f"{low:.1f} to {high:.1f}") for *named, index, low, high in affinities],
        ),
        _table(SALE_HEADER, [(receipt, f"`{status}`", *told) for receipt, status, *told in sales]),
    ]
    side = "old" if bias > 0 else "young"
    closeness = (
        f"On the {photo_count} photos of this day, estimates are off by {error:.1f} years on average, "
        f"and {abs(bias):.1f} years too {side}. To match the true column, {_misplaced(purchases, 2):.0%} of the money "
        f"of buyers with an estimate would have to move to another age group in the corrected column, "
        f"and {_misplaced(purchases, 3):.0%} in the column of point estimates."
    )
    return "\n\n".join([*tables, closeness])


def purchases_query(truth: str) -> str:
    """Return the SQL query for what each age group bought. `truth` is the file of true ages, as an SQL string."""
    bounds = [*LOWER_BOUNDS_YEARS, None]
    bands = [
        f"WHEN true_age_years::INT < {above} THEN '{low}-{above - 1}'" if above else f"ELSE '{low}+'"
        for low, above in pairwise(bounds)
    ]
    return PURCHASES_QUERY.format(unknown=UNKNOWN, true_bands=" ".join(bands), truth=truth)


def _misplaced(purchases: list[tuple[Any, ...]], column: int) -> float:
    """Return the share of money that would have to move to another age group to match the true column.

    Money of unknown buyers does not count.
    """
    known = [row for row in purchases if row[0] != UNKNOWN]
    apart = sum(abs(float(row[1]) - float(row[column])) for row in known)
    return apart / 2 / sum(float(row[1]) for row in known)


def _table(header: str, rows: list[tuple[str, ...]]) -> str:
    rule = "|" + "---|" * (header.count("|") - 1)
    return "\n".join([header, rule, *(f"| {' | '.join(row)} |" for row in rows)])
