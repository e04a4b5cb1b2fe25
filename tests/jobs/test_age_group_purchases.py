from decimal import Decimal

from pyspark.sql import SparkSession

from jobs import tables
from jobs.age_group_purchases import age_group_purchases
from tests.rows import line, rows_of

BUYER = {"store_id": "0042", "till_id": "03"}


def test_lines_are_summed_by_store_age_group_and_category(spark: SparkSession) -> None:
    lines = rows_of(
        spark,
        tables.TRANSACTION_LINES,
        line(net_amount="2.50"),
        line(line_number=2, net_amount="-2.50", quantity="-1", line_type="void"),
        line(line_number=3, net_amount="0.10", quantity="0.375"),
        line(transaction_id="t2", net_amount="1.01"),
        line(transaction_id="t2", line_number=2, product_category="BEER", net_amount="9.99"),
    )
    ages = rows_of(
        spark,
        tables.TRANSACTION_AGES,
        BUYER | {"transaction_id": "t1", "age_group": "25-34"},
        BUYER | {"transaction_id": "t2", "age_group": "25-34"},
    )
    purchases = age_group_purchases(lines, ages).orderBy("product_category").collect()
    assert [tuple(row) for row in purchases] == [
        ("0042", "25-34", "BEER", "USD", 1, 1, Decimal("1.000"), Decimal("9.99")),
        ("0042", "25-34", "MILK", "USD", 2, 4, Decimal("1.375"), Decimal("1.11")),
    ]


def test_a_transaction_without_an_estimate_counts_as_unknown(spark: SparkSession) -> None:
    lines = rows_of(spark, tables.TRANSACTION_LINES, line(), line(transaction_id="t2"))
    ages = rows_of(spark, tables.TRANSACTION_AGES, BUYER | {"transaction_id": "t1", "age_group": "unknown"})
    purchases = age_group_purchases(lines, ages).collect()
    assert [(row.age_group, row.transaction_count, row.net_amount) for row in purchases] == [
        ("unknown", 2, Decimal("5.00"))
    ]


def test_amounts_of_different_currencies_are_not_added(spark: SparkSession) -> None:
    lines = rows_of(spark, tables.TRANSACTION_LINES, line(), line(transaction_id="t2", currency="EUR"))
    ages = rows_of(spark, tables.TRANSACTION_AGES)
    assert age_group_purchases(lines, ages).count() == 2
