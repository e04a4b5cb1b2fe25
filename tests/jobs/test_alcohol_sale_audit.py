from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from jobs import tables
from jobs.alcohol_sale_audit import alcohol_sale_audit
from jobs.settings import Settings
from tests.rows import certain_of, line, rows_of


def buyer(age: int | None) -> dict[str, Any]:
    estimate = (
        {"estimate_status": "no_photo", "estimate_reason": "no photo was taken"}
        if age is None
        else {
            "estimate_status": "estimated",
            "estimated_age_years": float(age),
            "estimated_age_low_years": age - 8.0,
            "estimated_age_high_years": age + 8.0,
            "age_distribution": certain_of(age),
        }
    )
    return {"store_id": "0042", "till_id": "03", "transaction_id": "t1"} | estimate


def audit_of(spark: SparkSession, settings: Settings, age: int | None, *lines: dict[str, Any]) -> list[Row]:
    return alcohol_sale_audit(
        rows_of(spark, tables.TRANSACTION_LINES, *lines), rows_of(spark, tables.TRANSACTION_AGES, buyer(age)), settings
    ).collect()


@pytest.mark.parametrize(
    ("age", "id_check", "status"),
    [
        (16, "not_asked", "possibly_under_age_unchecked"),
        (22, "not_asked", "challenge_age_unchecked"),
        (40, "not_asked", "clearly_adult"),
        (40, None, "clearly_adult"),
        (16, None, "check_not_logged"),
        (16, "shown", "id_shown"),
        (16, "refused_sale", "sale_refused"),
        (None, "not_asked", "no_estimate"),
        (None, "shown", "id_shown"),
    ],
)
def test_the_status_follows_the_estimate_and_the_logged_check(
    spark: SparkSession, settings: Settings, age: int | None, id_check: str | None, status: str
) -> None:
    (audited,) = audit_of(spark, settings, age, line(is_alcohol=True, id_check=id_check))
    assert audited.audit_status == status
    assert audited.audit_reason


def test_the_reason_says_the_figures(spark: SparkSession, settings: Settings) -> None:
    (audited,) = audit_of(spark, settings, 22, line(is_alcohol=True, id_check="not_asked"))
    assert audited.audit_reason == (
        "no ID was asked for, by policy it should be: "
        "looks 22 (90 % interval 14–30); P(under 18) 0.00, P(under 25) 1.00"
    )


def test_a_receipt_with_several_alcohol_lines_is_one_row(spark: SparkSession, settings: Settings) -> None:
    lines = [
        line(is_alcohol=True, id_check="not_asked", net_amount="4.00"),
        line(line_number=2, is_alcohol=True, id_check="shown", net_amount="6.50", quantity="2"),
        line(line_number=3, net_amount="100.00"),
    ]
    (audited,) = audit_of(spark, settings, 30, *lines)
    assert (audited.alcohol_line_count, audited.alcohol_quantity, audited.alcohol_net_amount) == (
        2,
        Decimal("3.000"),
        Decimal("10.50"),
    )
    assert audited.id_check == "shown"


def test_alcohol_that_was_voided_is_no_sale(spark: SparkSession, settings: Settings) -> None:
    lines = [line(is_alcohol=True), line(line_number=2, is_alcohol=True, line_type="void", quantity="-1")]
    (audited,) = audit_of(spark, settings, 16, *lines)
    assert audited.audit_status == "sale_voided"


def test_a_receipt_without_an_alcohol_sale_is_not_audited(spark: SparkSession, settings: Settings) -> None:
    returned = line(transaction_id="t2", is_alcohol=True, line_type="return", quantity="-1")
    assert audit_of(spark, settings, 16, line(), returned) == []


def test_other_ages_of_policy_move_the_status(spark: SparkSession, settings: Settings) -> None:
    strict = settings.model_copy(update={"legal_purchase_age_years": 21, "challenge_age_years": 30})
    (audited,) = audit_of(spark, strict, 20, line(is_alcohol=True, id_check="not_asked"))
    assert audited.audit_status == "possibly_under_age_unchecked"
    assert (audited.under_legal_age_probability, audited.legal_purchase_age_years) == (1.0, 21)
