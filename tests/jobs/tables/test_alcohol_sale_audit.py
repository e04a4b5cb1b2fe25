import hashlib
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from jobs.ages.age_mix_estimation import ShiftCalibration
from jobs.ages.shift_calibration import shift_calibration
from jobs.schemas.buyers import AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.table import Table
from jobs.settings import Settings, read_settings
from jobs.tables.age_mixes import age_mixes
from jobs.tables.alcohol_sale_audit import AlcoholPolicy, alcohol_sale_audit
from tests.given.rows import BUSINESS_DATE, certain_of, line, rows_of

EVEN = [1 / 101] * 101
YEARS = np.arange(101)
BUYER_COUNT = 20_000


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
        rows_of(spark, TRANSACTION_LINES, *lines),
        rows_of(spark, TRANSACTION_AGES, buyer(age)),
        rows_of(spark, AGE_MIXES, mix_of_alcohol_buyers(EVEN)),
        BUSINESS_DATE,
        *calibration_and_policy(settings),
    ).collect()


def calibration_and_policy(settings: Settings) -> tuple[ShiftCalibration, AlcoholPolicy]:
    return shift_calibration(settings.model_version), settings.part(AlcoholPolicy)


def mix_of_alcohol_buyers(shares: list[float]) -> dict[str, Any]:
    return {"circle": "alcohol", "product_category": "", "estimated_age_distribution": shares}


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
        "no ID was asked for, although policy requires it: "
        "looks 22 (90 % interval 14–30); P(under 18) 0.00, P(under 25) 1.00; of 100 such buyers about 100 are under 25"
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
    assert audited.legal_purchase_age_years == 21
    assert audited.under_legal_age_probability == pytest.approx(1.0, abs=1e-3)


def test_buyers_with_and_without_an_estimate_are_audited_side_by_side(spark: SparkSession, settings: Settings) -> None:
    buyers = [buyer(age) | {"transaction_id": f"t{number}"} for number, age in enumerate((None, 16, None, 40))]
    audit = alcohol_sale_audit(
        rows_of(
            spark,
            TRANSACTION_LINES,
            *(line(transaction_id=each["transaction_id"], is_alcohol=True, id_check="not_asked") for each in buyers),
        ),
        rows_of(spark, TRANSACTION_AGES, *buyers),
        rows_of(spark, AGE_MIXES, mix_of_alcohol_buyers(EVEN)),
        BUSINESS_DATE,
        *calibration_and_policy(settings),
    )
    rows = audit.coalesce(1).orderBy("transaction_id").collect()
    assert [row.audit_status for row in rows] == [
        *("no_estimate", "possibly_under_age_unchecked"),
        *("no_estimate", "clearly_adult"),
    ]
    assert [row.under_18_probability is None for row in rows] == [True, False, True, False]


def test_the_case_id_is_a_hash_of_the_date_and_the_transaction(spark: SparkSession, settings: Settings) -> None:
    (audited,) = audit_of(spark, settings, 30, line(is_alcohol=True))
    key = json.dumps(["2026-11-20", "0042", "03", "t1"], separators=(",", ":"))
    assert audited.case_id == hashlib.sha256(key.encode()).hexdigest()[:16]


def test_estimates_without_a_mix_of_their_ages_are_an_error(spark: SparkSession, settings: Settings) -> None:
    lines = rows_of(spark, TRANSACTION_LINES, line(is_alcohol=True))
    ages = rows_of(spark, TRANSACTION_AGES, buyer(30))
    audit = alcohol_sale_audit(lines, ages, rows_of(spark, AGE_MIXES), BUSINESS_DATE, *calibration_and_policy(settings))
    with pytest.raises(Exception, match="age_mixes has no mix"):
        audit.collect()


def ages_of_shoppers() -> np.ndarray:
    """Shares of ages in a shop, none under 14: 3 % under 18, 24 % from 18 to 24, most between 25 and 75."""
    shares = np.repeat([0.0, 0.0075, 0.034, 0.014, 0.001], [14, 4, 7, 50, 26])
    return shares / shares.sum()


def photographed_buyers(settings: Settings, seed: int, shares: np.ndarray) -> pd.DataFrame:
    """Buyers with an age each, of these shares, and the distribution that the model stores of them.

    A photo shows the age with an error of five years. The model knows that, and leans towards the ages that it learnt
    from: its stored distribution is undone by the version's own calibration.
    """
    random = np.random.default_rng(seed)
    true_ages = random.choice(101, BUYER_COUNT, p=shares)
    seen = true_ages + random.normal(0.0, 5.0, BUYER_COUNT)
    calibration = shift_calibration(settings.model_version)
    shown = -0.5 * ((seen[:, None] - YEARS) / 5.0) ** 2
    stored = (shown + np.log(calibration.prior) - calibration.bias) / calibration.exponent
    stored = np.exp(stored - stored.max(axis=1, keepdims=True))
    stored = (stored / stored.sum(axis=1, keepdims=True)).astype(np.float32)
    return pd.DataFrame(
        {
            "transaction_id": [f"t{number}" for number in range(BUYER_COUNT)],
            "true_age_years": true_ages,
            "age_distribution": list(stored),
            "id_check": random.choice(["shown", "not_asked", None], BUYER_COUNT),
        }
    )


@pytest.fixture(scope="module")
def audited_buyers(spark: SparkSession) -> pd.DataFrame:
    """One audited sale per photographed buyer, with the true age."""
    settings = read_settings({}, landing_uri="l", warehouse_uri="w")
    buyers = photographed_buyers(settings, 1, ages_of_shoppers())
    mixes = rows_of(spark, AGE_MIXES, mix_of_alcohol_buyers(ages_of_shoppers().tolist()))
    audit = alcohol_sale_audit(*landed_and_aged(spark, buyers), mixes, BUSINESS_DATE, *calibration_and_policy(settings))
    wanted = ["transaction_id", "audit_status", "under_legal_age_probability", "under_challenge_age_probability"]
    return buyers.merge(audit.select(*wanted).toPandas(), on="transaction_id", validate="one_to_one")


def landed_and_aged(spark: SparkSession, buyers: pd.DataFrame) -> tuple[DataFrame, DataFrame]:
    """The alcohol lines of buyers and the rows of transaction_ages."""
    return (
        constant_rows(spark, TRANSACTION_LINES, line(is_alcohol=True), buyers[["transaction_id", "id_check"]]),
        constant_rows(spark, TRANSACTION_AGES, buyer(40), buyers[["transaction_id", "age_distribution"]]),
    )


def constant_rows(spark: SparkSession, table: Table, row: dict[str, Any], varying: pd.DataFrame) -> DataFrame:
    """Rows of a table that are alike but for the varying columns."""
    constant = {name: [row.get(name)] * len(varying) for name in table.column_names if name not in varying}
    columns = {name: constant[name] if name in constant else varying[name].to_list() for name in table.column_names}
    return spark.createDataFrame(pa.table(columns, table.schema.remove_metadata()))


def standard_errors_off(buyers: pd.DataFrame, probability: np.ndarray, under_years: int) -> float:
    """How many standard errors the share of buyers under an age lies above the mean of its probability."""
    deviation = (buyers.true_age_years < under_years).sum() - probability.sum()
    return float(deviation / np.sqrt((probability * (1 - probability)).sum()))


UNDER_AN_AGE = [("under_legal_age_probability", 18), ("under_challenge_age_probability", 25)]


@pytest.mark.parametrize(("name", "under_years"), UNDER_AN_AGE)
def test_the_mean_probability_is_the_share_under_that_age_in_each_status(
    audited_buyers: pd.DataFrame, name: str, under_years: int
) -> None:
    off = {
        status: standard_errors_off(buyers, buyers[name].to_numpy(), under_years)
        for status, buyers in audited_buyers.groupby("audit_status")
    }
    assert off.keys() == {
        *("id_shown", "clearly_adult", "check_not_logged"),
        *("challenge_age_unchecked", "possibly_under_age_unchecked"),
    }
    assert max(map(abs, off.values())) < 3.5, off


@pytest.mark.parametrize(("name", "under_years"), UNDER_AN_AGE)
def test_of_buyers_with_one_probability_that_share_is_under_that_age(
    audited_buyers: pd.DataFrame, name: str, under_years: int
) -> None:
    bins = pd.cut(audited_buyers[name], [0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 1.0], include_lowest=True)
    off = {
        str(interval): standard_errors_off(buyers, buyers[name].to_numpy(), under_years)
        for interval, buyers in audited_buyers.groupby(bins, observed=True)
    }
    assert len(off) >= 4
    assert max(map(abs, off.values())) < 3.5, off


@pytest.mark.parametrize("under_years", [18, 25])
def test_without_the_correction_the_share_is_far_from_the_mean_probability(
    audited_buyers: pd.DataFrame, under_years: int
) -> None:
    stored = np.stack(audited_buyers.age_distribution.to_list())[:, :under_years].sum(axis=1)
    assert abs(standard_errors_off(audited_buyers, stored, under_years)) > 10


def test_at_least_half_of_the_possibly_under_age_are(audited_buyers: pd.DataFrame) -> None:
    possibly = audited_buyers[audited_buyers.audit_status == "possibly_under_age_unchecked"]
    assert possibly.under_legal_age_probability.min() >= 0.5
    assert (possibly.true_age_years < 18).mean() >= 0.5


@pytest.mark.parametrize("under_years", [18, 25])
def test_with_the_mix_of_the_photos_themselves_the_mean_probability_comes_nearer_to_the_share(
    spark: SparkSession, settings: Settings, under_years: int
) -> None:
    few_young = np.interp(YEARS, [0, 13, 18, 30, 60, 75, 100], [0.0, 0.0, 0.004, 0.022, 0.015, 0.01, 0.0])
    buyers = photographed_buyers(settings, 2, few_young / few_young.sum())
    lines, ages = landed_and_aged(spark, buyers)
    mixes = age_mixes(lines, ages, shift_calibration(settings.model_version), BUSINESS_DATE)
    audit = alcohol_sale_audit(lines, ages, mixes, BUSINESS_DATE, *calibration_and_policy(settings))
    corrected = audit.agg({f"under_{under_years}_probability": "avg"}).collect()[0][0]
    stored = np.stack(buyers.age_distribution.to_list())[:, :under_years].sum(axis=1).mean()
    share = (buyers.true_age_years < under_years).mean()
    assert abs(corrected - share) < 0.6 * abs(stored - share)
