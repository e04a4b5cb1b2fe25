from datetime import datetime
from decimal import Decimal
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.business_day import BusinessDay
from jobs.landed_files import LANDED_LINE_SCHEMA
from jobs.rejected_transaction_lines import rejected_transaction_lines
from jobs.transaction_lines import transaction_lines
from tests.rows import BUSINESS_DATE, at

DAY = BusinessDay(BUSINESS_DATE, at("00:00:00"), at("23:00:00"))
LANDED = {
    "source_file": "transactions/a.csv",
    "line_in_file": 1,
    "transaction_id": "t1",
    "store_id": "0042",
    "till_id": "03",
    "cashier_id": "c1",
    "opened_at": "2026-11-20T18:30:00Z",
    "closed_at": "2026-11-20T18:31:00Z",
    "line_number": "1",
    "line_type": "sale",
    "sku": "s1",
    "product_category": "BEER",
    "quantity": "1",
    "net_amount": "2.50",
    "currency": "USD",
    "is_alcohol": "true",
    "id_check": "not_asked",
}


def landed(spark: SparkSession, *lines: dict[str, object]) -> DataFrame:
    rows = [tuple((LANDED | line).get(name) for name in LANDED_LINE_SCHEMA.names) for line in lines]
    return spark.createDataFrame(rows, from_arrow_schema(LANDED_LINE_SCHEMA))


def test_a_valid_line_is_typed_exactly(spark: SparkSession) -> None:
    line = transaction_lines(landed(spark, {"quantity": "0.375", "net_amount": "-12345678901.10"}), DAY).collect()[0]
    assert (line.quantity, line.net_amount) == (Decimal("0.375"), Decimal("-12345678901.10"))
    assert (line.line_number, line.is_alcohol, line.closed_at) == (1, True, datetime(2026, 11, 20, 18, 31))


def test_fields_that_the_contract_calls_optional_may_be_missing(spark: SparkSession) -> None:
    line = transaction_lines(landed(spark, {"opened_at": None, "id_check": " "}), DAY).collect()[0]
    assert (line.opened_at, line.id_check) == (None, None)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"transaction_id": None}, "transaction_id is missing"),
        ({"sku": "  "}, "sku is missing"),
        ({"store_id": "", "currency": None}, "store_id is missing; currency is missing"),
        ({"net_amount": "2.505"}, "net_amount '2.505' is not a decimal with at most 2 places"),
        ({"net_amount": "NaN"}, "net_amount 'NaN' is not a decimal with at most 2 places"),
        ({"quantity": "1e3"}, "quantity '1e3' is not a decimal with at most 3 places"),
        ({"line_number": "one"}, "line_number 'one' is not a whole number"),
        ({"line_number": "0"}, "line_number is under 1"),
        (
            {"closed_at": "2026-11-20T23:00:00Z"},
            "closed_at '2026-11-20T23:00:00Z' is not of business date 2026-11-20",
        ),
        (
            {"opened_at": None, "closed_at": "2026-11-19T23:59:59Z"},
            "closed_at '2026-11-19T23:59:59Z' is not of business date 2026-11-20",
        ),
        ({"closed_at": "yesterday"}, "closed_at 'yesterday' is not a time such as 2026-11-20T18:30:15Z"),
        ({"opened_at": "2026-11-20T19:00:00Z"}, "opened_at is after closed_at"),
        (
            {"opened_at": "0001-01-01T00:00:00Z"},
            "opened_at '0001-01-01T00:00:00Z' is not of business date 2026-11-20",
        ),
        (
            {"closed_at": "9999-12-31T23:59:59Z"},
            "closed_at '9999-12-31T23:59:59Z' is not of business date 2026-11-20",
        ),
        ({"closed_at": "292278994-08-17"}, "closed_at '292278994-08-17' is not a time such as 2026-11-20T18:30:15Z"),
        ({"quantity": "1e400"}, "quantity '1e400' is not a decimal with at most 3 places"),
        ({"quantity": "Infinity"}, "quantity 'Infinity' is not a decimal with at most 3 places"),
        ({"quantity": "\u0663"}, "quantity '\u0663' is not a decimal with at most 3 places"),
        ({"net_amount": f"1{'0' * 30}"}, f"net_amount '1{'0' * 30}' is not a decimal with at most 2 places"),
        ({"line_number": "\uff11"}, "line_number '\uff11' is not a whole number"),
        ({"line_number": f"1{'0' * 30}"}, f"line_number '1{'0' * 30}' is not a whole number"),
        (
            {"sku": None, "line_type": "x" * 9_000},
            f"sku is missing; line_type '{'x' * 60}' is none of sale, return, void",
        ),
        ({"line_type": "gift"}, "line_type 'gift' is none of sale, return, void"),
        ({"id_check": "maybe"}, "id_check 'maybe' is none of shown, refused_sale, not_asked"),
        ({"is_alcohol": "often"}, "is_alcohol 'often' is not true or false"),
    ],
)
def test_a_line_that_breaks_the_contract_is_rejected_with_the_reason(
    spark: SparkSession, broken: dict[str, object], reason: str
) -> None:
    lines = landed(spark, broken)
    assert transaction_lines(lines, DAY).count() == 0
    rejected = rejected_transaction_lines(lines, DAY).select("rejection_reason").collect()
    assert [row.rejection_reason for row in rejected] == [reason]


def test_of_lines_with_the_same_key_the_first_by_file_and_position_is_kept(spark: SparkSession) -> None:
    lines = landed(
        spark,
        {"line_in_file": 7, "sku": "third"},
        {"line_in_file": 2, "sku": "second"},
        {"line_in_file": 1, "sku": "broken", "quantity": "x"},
        {"source_file": "transactions/0.csv", "line_in_file": 9, "sku": "first"},
    )
    assert [row.sku for row in transaction_lines(lines, DAY).collect()] == ["first"]
    reasons = {row.line_in_file: row.rejection_reason for row in rejected_transaction_lines(lines, DAY).collect()}
    assert reasons == {
        1: "quantity 'x' is not a decimal with at most 3 places",
        2: "has the key of line 9 of transactions/0.csv",
        7: "has the key of line 9 of transactions/0.csv",
    }


def test_the_same_receipt_number_at_another_till_is_another_receipt(spark: SparkSession) -> None:
    assert transaction_lines(landed(spark, {}, {"till_id": "04"}, {"store_id": "0043"}), DAY).count() == 3


def test_text_is_kept_as_it_came_whatever_a_spreadsheet_or_a_terminal_would_make_of_it(spark: SparkSession) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "line\nbreak", "\x1b[31m", "\u202eabc", "x" * 10_000, "'; DROP TABLE"]
    lines = landed(spark, *({"sku": text, "line_number": str(number)} for number, text in enumerate(texts, 1)))
    assert [row.sku for row in transaction_lines(lines, DAY).orderBy("line_number").collect()] == texts


def test_any_line_is_accepted_or_rejected_with_a_reason_and_none_is_lost(spark: SparkSession) -> None:
    odd = [
        None,
        "",
        "NaN",
        "1e400",
        "-0",
        "\n",
        "\x00",
        "\u0663",
        "=1",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "x" * 9_000,
    ]
    fields = [name for name in LANDED if name not in ("source_file", "line_in_file")]
    random = Random(6)
    hostile = [
        {name: random.choice(odd) for name in random.sample(fields, random.randint(1, 3))} | {"line_in_file": number}
        for number in range(300)
    ]
    lines = landed(spark, *hostile).cache()
    rejected = rejected_transaction_lines(lines, DAY).select("rejection_reason", "landed_line").collect()
    assert transaction_lines(lines, DAY).count() + len(rejected) == len(hostile)
    assert all(row.rejection_reason and row.landed_line for row in rejected)
