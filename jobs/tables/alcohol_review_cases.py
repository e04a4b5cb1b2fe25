"""alcohol_review_cases: the alcohol sales of the day that a person should look at, likeliest under age first.

A reviewer judges a face and not a colleague, so a row has no cashier, till or receipt number. But the photo's key
contains the till and the time. So show reviewers the photo, and not its key.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.warehouse.duckdb_tables import source_tables_in_duckdb
from jobs.warehouse.warehouse import Warehouse

COLUMNS = {
    ALCOHOL_SALE_AUDIT: (
        *TRANSACTION_KEY,
        "case_id",
        "closed_at",
        "audit_status",
        "id_check",
        "legal_purchase_age_years",
        "under_legal_age_probability",
        "under_challenge_age_probability",
        "model_version",
    ),
    TRANSACTION_AGES: (*TRANSACTION_KEY, "photo_keys"),
}

# Probabilities are ranked by six digits. With more, the order of a float sum could decide a rank and change it from run
# to run; equal probabilities are ranked by case_id.
QUERY = """
WITH ranked AS (
    SELECT *, row_number() OVER (
        ORDER BY round(under_legal_age_probability, 6) DESC,
            round(under_challenge_age_probability, 6) DESC NULLS LAST, case_id
    ) AS review_rank
    FROM alcohol_sale_audit
    WHERE audit_status IN ('possibly_under_age_unchecked', 'challenge_age_unchecked', 'check_not_logged')
        AND under_legal_age_probability >= $minimum_probability
)
SELECT case_id, review_rank, store_id, closed_at, photo_keys, audit_status, legal_purchase_age_years,
    under_legal_age_probability, under_challenge_age_probability,
    format('{}; of 100 such buyers about {:.0f} are under {}',
        if(id_check IS NULL, 'the till logs no ID check', 'no ID was asked for'),
        round(100 * under_legal_age_probability), legal_purchase_age_years) AS review_reason,
    model_version
-- transaction_ages has one row per transaction, so the join adds no case.
FROM ranked LEFT JOIN (SELECT store_id, till_id, transaction_id, photo_keys FROM transaction_ages)
    USING (store_id, till_id, transaction_id)
WHERE review_rank <= $case_limit
"""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    with source_tables_in_duckdb(warehouse.staging, business_date, COLUMNS) as connection:
        cases = alcohol_review_cases(connection, settings.review_case_minimum_probability, settings.review_case_limit)
    warehouse.stage_arrow(ALCOHOL_REVIEW_CASES, business_date, cases)


def alcohol_review_cases(
    connection: duckdb.DuckDBPyConnection, minimum_probability: float, case_limit: int
) -> pa.Table:
    """Return the unchecked sales with the highest P(under the legal age), at most `case_limit`.

    `connection` has the tables of COLUMNS. A look pays off when it finds a buyer under the legal age without a logged
    check, so P is the expected yield of a look. Sales with P under `minimum_probability` are left out: most of them
    would cost a look for nothing.
    """
    values = {"minimum_probability": minimum_probability, "case_limit": case_limit}
    return connection.execute(QUERY, values).to_arrow_table()
