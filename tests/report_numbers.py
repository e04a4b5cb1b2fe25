"""What a report says, and what DuckDB finds in the tables that it names: both as the same mapping."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
from playwright.sync_api import Page

Key = tuple[str, ...]

QUERIES: Mapping[str, str] = {
    "pipeline_runs.transaction_count": "SELECT count(*) FROM {transaction_ages}",
    "pipeline_runs.rejected_line_count": "SELECT count(*) FROM {rejected_transaction_lines} WHERE line_in_file > 0",
    "alcohol_sale_audit.sales": "SELECT count(*) FROM {alcohol_sale_audit}",
    "alcohol_sale_audit.estimated": "SELECT count(*) FROM {alcohol_sale_audit} WHERE estimate_status = 'estimated'",
    "alcohol_sale_audit.looks_young": """
        SELECT count(*) FROM {alcohol_sale_audit} WHERE under_challenge_age_probability >= 0.5""",
    "alcohol_sale_audit.asked": """
        SELECT count(*) FROM {alcohol_sale_audit} WHERE under_challenge_age_probability >= 0.5
        AND id_check IN ('shown', 'refused_sale')""",
    "summary.not_judged": "SELECT count(*) FROM {alcohol_sale_audit} WHERE audit_status = 'no_estimate'",
    "summary.possibly_under_age_unchecked": """
        SELECT count(*) FROM {alcohol_sale_audit} WHERE audit_status = 'possibly_under_age_unchecked'""",
    "summary.review_cases": "SELECT count(*) FROM {alcohol_review_cases}",
    "alcohol_sale_audit.audit_status": "SELECT audit_status, count(*) FROM {alcohol_sale_audit} GROUP BY ALL",
    "alcohol_sale_audit.not_judged": """
        SELECT estimate_status, count(*) FROM {alcohol_sale_audit} WHERE audit_status = 'no_estimate' GROUP BY ALL""",
    "age_group_purchases.estimated_net_amount": """
        SELECT age_group, currency, sum(estimated_net_amount) FROM {age_group_purchases} GROUP BY ALL""",
    "age_group_purchases.estimated_transaction_count": """
        SELECT age_group, product_category, sum(estimated_transaction_count) FROM {age_group_purchases}
        WHERE age_group <> 'unknown' GROUP BY ALL""",
    "age_group_purchases.transaction_count": """
        SELECT age_group, product_category, sum(transaction_count) FROM {age_group_purchases}
        WHERE age_group <> 'unknown' GROUP BY ALL""",
    "transaction_ages.transactions": """
        SELECT age_group, count(*) FROM {transaction_ages} WHERE age_group <> 'unknown' GROUP BY ALL""",
    "age_group_affinity.affinity_index": """
        SELECT age_group, product_category, affinity_index FROM {age_group_affinity}
        WHERE affinity_index IS NOT NULL""",
    "photo_coverage.with_usable_face_count": """
        SELECT store_id || '/' || till_id, sum(with_usable_face_count) FROM {photo_coverage} GROUP BY ALL
        HAVING sum(transaction_count) > 0
        UNION ALL SELECT 'all', sum(with_usable_face_count) FROM {photo_coverage}""",
    "photo_coverage.reasons": """
        SELECT entry.key, sum(entry.value) FROM (SELECT unnest(map_entries(reasons)) AS entry FROM {photo_coverage})
        GROUP BY ALL""",
    "cashier_alcohol_audit.to_be_looked_at": "SELECT count(review_priority) FROM {cashier_alcohol_audit}",
}
"""What each figure of the page is, as an analyst would ask for it: the number last, what it is of before."""

OF = ("group", "category", "till", "status", "currency")

READ_NUMBERS = """
figure => [...document.querySelectorAll(`data[data-figure="${figure}"]`)].map(
    each => [%s.map(name => each.dataset[name]).filter(value => value !== undefined), Number(each.value)])
""" % list(OF)  # noqa: UP031


def said(page: Page, figure: str) -> dict[Key, float]:
    """Return the numbers of a figure on the page, by what they are of."""
    return {tuple(of): float(value) for of, value in page.evaluate(READ_NUMBERS, figure)}


def found(warehouse_folder: str, business_date: object, figure: str) -> dict[Key, float]:
    """Return the numbers that DuckDB finds in the published tables."""
    names = (
        *("transaction_ages", "rejected_transaction_lines", "alcohol_sale_audit", "alcohol_review_cases"),
        *("age_group_purchases", "age_group_affinity", "photo_coverage", "cashier_alcohol_audit"),
    )
    tables = {name: f"'{warehouse_folder}/{name}/business_date={business_date}/*.parquet'" for name in names}
    with duckdb.connect() as connection:
        rows = connection.sql(QUERIES[figure].format(**tables)).fetchall()
    return {tuple(map(str, of)): float(value) for *of, value in rows}
