"""cashier_alcohol_days: what a cashier's alcohol sales of one day add to the audit of a longer window.

All counts and sums add up over days. An estimate counts with its probability, never as a fact: a buyer who is under 25
with probability 0.4 counts as 0.4 of a buyer under 25. A cashier can only be compared with others who serve buyers who
look alike, at the same till at about the same time. `strata` keeps the sums for this comparison inside the cashier's
row, so the table has one row per cashier and day however fine the comparison is.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

KEY = list(CASHIER_ALCOHOL_DAYS.key)
STRATUM = ["till_id", "hour", "probability_band"]
PROBABILITY_BANDS_PERCENT = (0, 5, 15, 30, 50, 70, 85)
"""Lower ends of the bands of P(under the challenge age); buyers of one band are taken to look alike. Days published
with other bands cannot be compared with new ones.
"""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    alcohol_sale_audit = warehouse.read(ALCOHOL_SALE_AUDIT, business_date)
    cashier_days = cashier_alcohol_days(alcohol_sale_audit, settings.store_time_zone)
    cashier_days = cashier_days.withColumn("model_version", F.lit(settings.model_version))
    warehouse.stage(CASHIER_ALCOHOL_DAYS, business_date, cashier_days)


def cashier_alcohol_days(alcohol_sale_audit: DataFrame, store_time_zone: str) -> DataFrame:
    """Return one row per cashier with additive counts, expected numbers of young buyers and their variances.

    A sale at a till that logs no check counts neither as asked nor as not asked. A refused sale is not a sale, but its
    buyer was asked. A voided sale counts as voided only.
    """
    audited = alcohol_sale_audit.select(*KEY, *_facts(store_time_zone))
    counts = audited.groupBy(*KEY).agg(*_counts(), *_expected_numbers())
    # Left join: a cashier without comparable sales keeps the row of counts.
    return counts.join(_strata(audited), KEY, how="left")


def _facts(store_time_zone: str) -> list[Column | str]:
    """Return what became of the sale, how probably its buyer is young, and the stratum in which it is compared."""
    status, id_check = F.col("audit_status"), F.coalesce("id_check", F.lit("not_logged"))
    is_sale = ~status.isin("sale_refused", "sale_voided")
    return [
        (status == "sale_refused").alias("is_refused"),
        (status == "sale_voided").alias("is_voided"),
        is_sale.alias("is_sale"),
        (is_sale & (F.col("estimate_status") == "estimated")).alias("is_estimated_sale"),
        (is_sale & (id_check == "not_logged")).alias("is_check_not_logged"),
        ((is_sale & (id_check == "shown")) | (status == "sale_refused")).alias("is_asked"),
        (is_sale & (id_check == "not_asked")).alias("is_not_asked"),
        "till_id",
        # The store's hour, not UTC: the audit compares hours of the store's day.
        F.hour(F.from_utc_timestamp("closed_at", store_time_zone)).alias("hour"),
        _probability_band().alias("probability_band"),
        "under_legal_age_probability",
        "under_challenge_age_probability",
    ]


def _probability_band() -> Column:
    """Return the lower end, in percent, of the band that holds P(under the challenge age); null without an estimate."""
    percent = 100 * F.col("under_challenge_age_probability")
    # The highest of the ends that are not above the value is its band's; array_max skips nulls.
    ends = F.array(*(F.when(percent >= low, low) for low in PROBABILITY_BANDS_PERCENT))
    return F.array_max(ends)


def _counts() -> list[Column]:
    counted = {
        "sale_count": "is_sale",
        "refused_count": "is_refused",
        "voided_count": "is_voided",
        "estimated_sale_count": "is_estimated_sale",
        "check_not_logged_count": "is_check_not_logged",
    }
    return [F.count_if(F.col(condition)).alias(name) for name, condition in counted.items()]


def _expected_numbers() -> list[Column]:
    """Return sums of probabilities, each with its variance; sales without an estimate add nothing."""
    summed = {
        "under_legal_age": ("is_estimated_sale", "under_legal_age_probability"),
        "under_challenge_age": ("is_estimated_sale", "under_challenge_age_probability"),
        "under_legal_age_unchecked": ("is_not_asked", "under_legal_age_probability"),
        "asked": ("is_asked", "under_challenge_age_probability"),
        "not_asked": ("is_not_asked", "under_challenge_age_probability"),
    }
    return [
        # A sum over no rows is null, and null would not add up over days.
        F.coalesce(F.sum(F.when(F.col(condition), value)), F.lit(0.0)).alias(f"{name}_{kind}")
        for name, (condition, probability) in summed.items()
        for kind, value in (
            ("count", F.col(probability)),
            ("variance", F.col(probability) * (1 - F.col(probability))),
        )
    ]


def _strata(audited: DataFrame) -> DataFrame:
    """Return one row per cashier with the strata of sales that have an estimate and were asked or not asked."""
    compared = audited.where((F.col("is_asked") | F.col("is_not_asked")) & F.col("probability_band").isNotNull())
    strata = compared.groupBy(*KEY, *STRATUM).agg(
        F.count(F.lit(1)).alias("case_count"),
        F.count_if("is_asked").alias("asked_count"),
        F.sum("under_challenge_age_probability").alias("under_challenge_age_count"),
    )
    # Sorted below, because collect_list has no order and a re-run must write the same row.
    sums = F.struct(*STRATUM, "case_count", "asked_count", "under_challenge_age_count")
    return strata.groupBy(*KEY).agg(F.array_sort(F.collect_list(sums)).alias("strata"))
