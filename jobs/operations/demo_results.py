"""demo_results: renders the demo's results for README.md: what the tables say, next to the truth of the sample day."""

from __future__ import annotations

from pathlib import Path

import duckdb

from jobs.operations.demo_money import HEADINGS, money_in_words, money_of_groups

PURCHASES_HEADER = f"| {' | '.join(HEADINGS)} |"

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
        money = money_of_groups(connection, truth)
        affinities = connection.sql(AFFINITY_QUERY).fetchall()
        sales = connection.sql(SALE_QUERY.format(truth=file)).fetchall()
        ((photo_count, error, bias),) = connection.sql(CLOSENESS_QUERY.format(truth=file)).fetchall()
    tables = [
        _table(PURCHASES_HEADER, [row.in_words() for row in money]),
        _table(
            AFFINITY_HEADER,
            [(*named, f"{index:.1f}", f"{low:.1f} to {high:.1f}") for *named, index, low, high in affinities],
        ),
        _table(SALE_HEADER, [(receipt, f"`{status}`", *told) for receipt, status, *told in sales]),
    ]
    side = "old" if bias > 0 else "young"
    closeness = (
        f"On the {photo_count} photos of this day, estimates are off by {error:.1f} years on average, "
        f"and {abs(bias):.1f} years too {side}. {money_in_words(money)}"
    )
    return "\n\n".join([*tables, closeness])


def _table(header: str, rows: list[tuple[str, ...]]) -> str:
    rule = "|" + "---|" * (header.count("|") - 1)
    return "\n".join([header, rule, *(f"| {' | '.join(row)} |" for row in rows)])
