"""alcohol_sale_audit: each transaction with alcohol: how old the buyer looks and whether an ID was asked for.

A status is a reason to look, never a verdict: estimates err by four to five years on average. The estimate and its
interval come from transaction_ages, so from the photos alone. Such an interval contains the true age of nine of ten
buyers of each age, and therefore in any mix of ages. The probabilities are corrected for the ages of the day's alcohol
buyers. Otherwise the many children among the training photos would distort them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.ages.age_columns import correct_for_buyers
from jobs.ages.age_groups import probability_under
from jobs.ages.age_mix_estimation import ShiftCalibration
from jobs.ages.shift_calibration import shift_calibration
from jobs.landing.case_ids import case_ids
from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

KEY = list(TRANSACTION_KEY)


@dataclass(frozen=True)
class AlcoholPolicy:
    """The settings by which sales of alcohol are audited: two ages, and the probabilities that raise an alert."""

    legal_purchase_age_years: int
    challenge_age_years: int
    under_legal_age_alert_probability: float
    under_challenge_age_alert_probability: float


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(TRANSACTION_LINES, business_date)
    transaction_ages = warehouse.read(TRANSACTION_AGES, business_date)
    age_mixes = warehouse.read(AGE_MIXES, business_date)
    calibration, policy = shift_calibration(settings.model_version), settings.part(AlcoholPolicy)
    audit = alcohol_sale_audit(transaction_lines, transaction_ages, age_mixes, business_date, calibration, policy)
    warehouse.stage(ALCOHOL_SALE_AUDIT, business_date, audit)


def alcohol_sale_audit(
    transaction_lines: DataFrame,
    transaction_ages: DataFrame,
    age_mixes: DataFrame,
    business_date: date,
    calibration: ShiftCalibration,
    policy: AlcoholPolicy,
) -> DataFrame:
    """Return one row per transaction with an alcohol sale line, with its audit status and the reason in words."""
    # closed_at is the sale's own, and under_18_probability is computed again below, with the correction.
    ages = transaction_ages.drop("opened_at", "closed_at", "under_18_probability", "run_id")
    sales = _alcohol_sales(transaction_lines).join(ages, KEY, how="left")
    correct = correct_for_buyers(calibration, _mix_of_alcohol_buyers(age_mixes))
    judged = _with_probabilities(sales.withColumn("corrected_distribution", correct("age_distribution")), policy)
    audited = judged.withColumn("audit_status", _audit_status(policy)).withColumn("audit_reason", _audit_reason())
    return audited.withColumn("case_id", case_ids(business_date))


def _mix_of_alcohol_buyers(age_mixes: DataFrame) -> list[float] | None:
    """Return the (101,) age shares of the day's alcohol buyers; None when none of them has an estimate."""
    # Not `first`: it ends the Python worker that reads the table, with the age network in it.
    mixes = age_mixes.where(F.col("circle") == "alcohol").select("estimated_age_distribution").collect()
    return list(mixes[0].estimated_age_distribution) if mixes else None


def _with_probabilities(sales: DataFrame, policy: AlcoholPolicy) -> DataFrame:
    ages_years = {
        "under_18_probability": 18,
        "under_25_probability": 25,
        "under_legal_age_probability": policy.legal_purchase_age_years,
        "under_challenge_age_probability": policy.challenge_age_years,
    }
    return sales.select(
        "*",
        F.lit(policy.legal_purchase_age_years).alias("legal_purchase_age_years"),
        F.lit(policy.challenge_age_years).alias("challenge_age_years"),
        *(probability_under(F.col("corrected_distribution"), years).alias(name) for name, years in ages_years.items()),
    )


def _alcohol_sales(transaction_lines: DataFrame) -> DataFrame:
    """Return one row per transaction with at least one alcohol sale line.

    Returns of earlier days are not sales.
    """
    # Voids are needed too: they lower the quantity, to 0 when all alcohol was taken back before payment.
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
    """Return the ID check of a transaction: a refusal outranks a shown ID, and a shown ID outranks 'not asked'."""
    logged = F.collect_set("id_check")
    return F.coalesce(
        *(F.when(F.array_contains(logged, check), F.lit(check)) for check in ("refused_sale", "shown", "not_asked"))
    )


def _audit_status(policy: AlcoholPolicy) -> Column:
    looks_under_legal_age = F.col("under_legal_age_probability") >= policy.under_legal_age_alert_probability
    looks_under_challenge_age = F.col("under_challenge_age_probability") >= policy.under_challenge_age_alert_probability
    return (
        # The first condition that holds decides. Facts from the receipt come before anything estimated.
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
    under_legal_age = _of_a_hundred(F.col("under_legal_age_probability"), "under %d", "legal_purchase_age_years")
    under_challenge_age = _of_a_hundred(F.col("under_challenge_age_probability"), "under %d", "challenge_age_years")
    adult = _of_a_hundred(1 - F.col("under_challenge_age_probability"), "%d or older", "challenge_age_years")
    with_estimate = {
        "clearly_adult": ("no check needed: ", adult),
        "check_not_logged": ("the till logs no ID check: ", under_challenge_age),
        "challenge_age_unchecked": ("no ID was asked for, although policy requires it: ", under_challenge_age),
        "possibly_under_age_unchecked": (
            "no ID was asked for, and the buyer may be under age; a person should look: ",
            under_legal_age,
        ),
    }
    without_estimate = {
        "sale_refused": F.lit("the cashier refused the sale"),
        "sale_voided": F.lit("the alcohol was voided before payment"),
        "id_shown": F.lit("an ID was shown"),
        "no_estimate": F.concat(F.lit("age cannot be judged: "), F.coalesce("estimate_reason", F.lit("no photo"))),
    }
    status = F.col("audit_status")
    reasons = [
        F.when(status == name, F.concat(F.lit(words), _estimate_in_words(), expected))
        for name, (words, expected) in with_estimate.items()
    ]
    return F.coalesce(*reasons, *(F.when(status == name, words) for name, words in without_estimate.items()))


def _estimate_in_words() -> Column:
    return F.format_string(
        "looks %.0f (90 %% interval %.0f–%.0f); P(under %d) %.2f, P(under %d) %.2f",
        "estimated_age_years",
        "estimated_age_low_years",
        "estimated_age_high_years",
        "legal_purchase_age_years",
        "under_legal_age_probability",
        "challenge_age_years",
        "under_challenge_age_probability",
    )


def _of_a_hundred(probability: Column, what: str, age_years: str) -> Column:
    """Say what to expect of a status: of a hundred buyers with these figures, how many are what the status says."""
    return F.format_string(f"; of 100 such buyers about %.0f are {what}", 100 * probability, F.col(age_years))
