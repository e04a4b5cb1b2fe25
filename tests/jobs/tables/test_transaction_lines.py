from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.landing.business_day import business_day
from jobs.landing.deliveries import SUCCESS, transactions_folder
from jobs.landing.judged_lines import judged_transaction_lines
from jobs.landing.tombstones import ErasedPeople
from jobs.settings import Settings
from jobs.tables.rejected_transaction_lines import rejected_transaction_lines
from jobs.tables.transaction_lines import transaction_lines
from jobs.warehouse.object_store import ObjectStore
from tests.given.judged_lines import judged
from tests.given.rows import BUSINESS_DATE

FIELD = Path(__file__).parents[1] / "field" / "transactions"


def test_of_lines_with_the_same_key_the_first_by_file_and_position_is_kept(spark: SparkSession) -> None:
    lines = judged(
        spark,
        {"line_in_file": 7, "sku": "third"},
        {"line_in_file": 2, "sku": "first"},
        {"line_in_file": 1, "sku": "broken", "quantity": "x"},
        {"source_file": "transactions/0.csv", "line_in_file": 9, "sku": "first"},
    )
    assert [(row.source_file, row.sku) for row in transaction_lines(lines).collect()] == [
        ("transactions/0.csv", "first")
    ]
    rejected = rejected_transaction_lines(lines).collect()
    assert {row.line_in_file: (row.rejection_reason, row.is_repeat) for row in rejected} == {
        1: ("quantity 'x' is not a decimal with at most 3 places", False),
        2: ("is the same as line 9 of transactions/0.csv", True),
        7: ("differs from line 9 of transactions/0.csv: sku first there, third here", False),
    }


def test_the_same_receipt_number_at_another_till_is_another_receipt(spark: SparkSession) -> None:
    assert transaction_lines(judged(spark, {}, {"till_id": "04"}, {"store_id": "0043"})).count() == 3


@pytest.mark.parametrize(
    ("file_name", "kept", "rejected"),
    [("numbers_begin_again_with_the_shift.csv", 0, 9), ("returns_without_sign.csv", 4, 2)],
)
def test_what_stores_delivered_is_kept_or_rejected(
    spark: SparkSession, settings: Settings, landing: ObjectStore, file_name: str, kept: int, rejected: int
) -> None:
    folder = transactions_folder(BUSINESS_DATE)
    landing.write(f"{folder}/{file_name}", (FIELD / file_name).read_bytes())
    landing.write(f"{folder}/{SUCCESS}", b"")
    day = business_day(BUSINESS_DATE, settings.time_zone, settings.business_date_allowance_minutes)
    lines = judged_transaction_lines(spark, settings.landing_uri, day, ErasedPeople(BUSINESS_DATE))
    assert transaction_lines(lines).count() == kept
    assert rejected_transaction_lines(lines).count() == rejected
