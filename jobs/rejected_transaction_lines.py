"""rejected_transaction_lines: the receipt lines of the day that break the landing contract, with the reason."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import tables
from jobs.business_day import BusinessDay, business_day
from jobs.erased import read_erased, without_erased_landed_lines
from jobs.landing import landed_transaction_lines, unchanged_receipts
from jobs.object_store import ObjectStore
from jobs.receipt_lines import judge_receipt_lines
from jobs.settings import Settings
from jobs.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    landed_lines = landed_transaction_lines(warehouse.spark, settings.landing_uri, business_date)
    erased = read_erased(warehouse.store, business_date)
    kept_lines = without_erased_landed_lines(landed_lines, erased)
    rejected_lines = rejected_transaction_lines(kept_lines, business_day(business_date, settings))
    with unchanged_receipts(ObjectStore(settings.landing_uri), business_date) as receipts_digest:
        warehouse.stage(
            tables.REJECTED_TRANSACTION_LINES,
            business_date,
            rejected_lines,
            erasure_count=erased.erasure_count,
            receipts_digest=receipts_digest,
        )


def rejected_transaction_lines(landed_lines: DataFrame, day: BusinessDay) -> DataFrame:
    """Return the landed lines that break a rule, as they came."""
    rejected = judge_receipt_lines(landed_lines, day).where(F.col("rejection_reason").isNotNull())
    return rejected.withColumn("landed_line", F.coalesce("unparsed_line", F.to_json("landed")))
