"""alcohol_sale_audit: each transaction with alcohol, how old the buyer looks and whether an ID was asked for.

A status is a reason to look, never a verdict: estimates err by about five years.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import tables
from jobs.age_groups import probability_under
from jobs.settings import Settings
from jobs.warehouse import Warehouse

KEY = list(tables.TRANSACTION_KEY)


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(tables.TRANSACTION_LINES, business_date)
    transaction_ages = warehouse.read(tables.TRANSACTION_AGES, business_date)
    audit = alcohol_sale_audit(transaction_lines, transaction_ages, settings)
    warehouse.stage(tables.ALCOHOL_SALE_AUDIT, business_date, audit)


def alcohol_sale_audit(transaction_lines: DataFrame, transaction_ages: DataFrame, settings: Settings) -> DataFrame:
    """Return one row per transaction with an alcohol sale line, with its audit status and the reason in words."""
    ages = transaction_ages.drop("opened_at", "closed_at", "run_id")
    sales = _alcohol_sales(transaction_lines).join(ages, KEY, how="left")
    judged = sales.select(
        "*",
        F.lit(settings.legal_purchase_age_years).alias("legal_purchase_age_years"),
        F.lit(settings.challenge_age_years).alias("challenge_age_years"),
        probability_under(F.col("age_distribution"), settings.legal_purchase_age_years).alias(
            "under_legal_age_probability"
        ),
        probability_under(F.col("age_distribution"), settings.challenge_age_years).alias(
            "under_challenge_age_probability"
        ),
    )
    return judged.withColumn("audit_status", _audit_status(settings)).withColumn("audit_reason", _audit_reason())


def _alcohol_sales(transaction_lines: DataFrame) -> DataFrame:
    """One row per transaction with at least one alcohol sale line; returns of earlier days are not sales."""
    alcohol_lines = transaction_lines.where(F.col("is_alcohol") & F.col("line_type").isin("sale", "void"))
    sales = alcohol_lines.groupBy(*KEY).agg(
        F.min("cashier_id").alias("cashier_id"),
        F.max("closed_at").alias("closed_at"),
        F.count(F.lit(1)).alias("alcohol_line_count"),
        F.sum("quantity").alias("alcohol_quantity"),
        F.sum("net_amount").alias("alcohol_net_amount"),
        F.min("currency").alias("currency"),
        F.bool_or(F.col("line_type") == "sale").alias("has_sale_line"),
        _logged_check().alias("id_check"),
    )
    return sales.where("has_sale_line")


def _logged_check() -> Column:
    """The check of the receipt: a refusal outranks a shown ID, which outranks none asked for."""
    logged = F.collect_set("id_check")
    return F.coalesce(
        *(F.when(F.array_contains(logged, check), F.lit(check)) for check in ("refused_sale", "shown", "not_asked"))
    )


def _audit_status(settings: Settings) -> Column:
    looks_under_legal_age = F.col("under_legal_age_probability") >= settings.under_legal_age_alert_probability
    looks_under_challenge_age = (
        F.col("under_challenge_age_probability") >= settings.under_challenge_age_alert_probability
    )
    return (
        F.when(F.col("id_check") == "refused_sale", "sale_refused")
        .when(F.col("alcohol_quantity") <= 0, "sale_voided")
        .when(F.col("id_check") == "shown", "id_shown")
        .when(F.col("age_distribution").isNull(), "no_estimate")
        .when(~looks_under_challenge_age & ~looks_under_legal_age, "clearly_adult")
        .when(F.col("id_check").isNull(), "check_not_logged")
        .when(looks_under_legal_age, "possibly_under_age_unchecked")
        .otherwise("challenge_age_unchecked")
    )


def _audit_reason() -> Column:
    estimate = F.format_string(
        "looks %.0f (90 %% interval %.0f–%.0f); P(under %d) %.2f, P(under %d) %.2f",
        "estimated_age_years",
        "estimated_age_low_years",
        "estimated_age_high_years",
        "legal_purchase_age_years",
        "under_legal_age_probability",
        "challenge_age_years",
        "under_challenge_age_probability",
    )
    with_estimate = {
        "clearly_adult": "no check needed: ",
        "check_not_logged": "the till logs no ID check: ",
        "challenge_age_unchecked": "no ID was asked for, by policy it should be: ",
        "possibly_under_age_unchecked": "no ID was asked for and the buyer may be under age, a person should look: ",
    }
    without_estimate = {
        "sale_refused": F.lit("the cashier refused the sale"),
        "sale_voided": F.lit("the alcohol was voided before payment"),
        "id_shown": F.lit("an ID was shown"),
        "no_estimate": F.concat(F.lit("age cannot be judged: "), F.coalesce("estimate_reason", F.lit("no photo"))),
    }
    status = F.col("audit_status")
    reasons = [F.when(status == name, F.concat(F.lit(words), estimate)) for name, words in with_estimate.items()]
    return F.coalesce(*reasons, *(F.when(status == name, words) for name, words in without_estimate.items()))
