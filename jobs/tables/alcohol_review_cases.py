"""alcohol_review_cases: the alcohol sales of the day that a person should look at, likeliest under age first.

A reviewer judges a face, not a colleague, so a row has no cashier, till or receipt number. The photo's key does contain
the till and the time, because the photo is found by it: whoever shows cases to reviewers shows the photo, not the key.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

KEY = list(TRANSACTION_KEY)
UNCHECKED_STATUSES = ("possibly_under_age_unchecked", "challenge_age_unchecked", "check_not_logged")
DIGITS_RANKED = 6
"""Digits by which probabilities are ranked. With more, the order of a float sum could decide a rank and change it from
run to run; equal probabilities are ranked by case_id.
"""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    alcohol_sale_audit = warehouse.read(ALCOHOL_SALE_AUDIT, business_date)
    transaction_ages = warehouse.read(TRANSACTION_AGES, business_date)
    cases = alcohol_review_cases(alcohol_sale_audit, transaction_ages, settings)
    warehouse.stage(ALCOHOL_REVIEW_CASES, business_date, cases)


def alcohol_review_cases(alcohol_sale_audit: DataFrame, transaction_ages: DataFrame, settings: Settings) -> DataFrame:
    """Return the unchecked sales with the highest P(under the legal age), at most `review_case_limit`.

    A look pays off when it finds a buyer under the legal age without a logged check, so P is the expected yield of a
    look. Sales with P under `review_case_minimum_probability` are left out: most of them would cost a look for nothing.
    """
    is_unchecked = F.col("audit_status").isin(*UNCHECKED_STATUSES)
    is_worth_a_look = F.col("under_legal_age_probability") >= settings.review_case_minimum_probability
    worth_a_look = alcohol_sale_audit.where(is_unchecked & is_worth_a_look)
    cases = worth_a_look.orderBy(*_most_yield_first()).limit(settings.review_case_limit)
    # A window without a partition is sorted in one task; the limit above keeps it small.
    ranked = cases.withColumn("review_rank", F.row_number().over(Window.orderBy(*_most_yield_first())).cast("bigint"))
    # transaction_ages has one row per transaction, so the join adds no case.
    with_photos = ranked.join(transaction_ages.select(*KEY, "photo_keys"), KEY, how="left")
    return with_photos.withColumn("review_reason", _review_reason())


def _most_yield_first() -> list[Column]:
    return [
        F.round("under_legal_age_probability", DIGITS_RANKED).desc(),
        F.round("under_challenge_age_probability", DIGITS_RANKED).desc(),
        F.col("case_id"),
    ]


def _review_reason() -> Column:
    check = F.when(F.col("id_check").isNull(), "the till logs no ID check").otherwise("no ID was asked for")
    yielded = F.format_string(
        "of 100 such buyers about %.0f are under %d",
        100 * F.col("under_legal_age_probability"),
        "legal_purchase_age_years",
    )
    return F.concat_ws("; ", check, yielded)
