"""transaction_lines: the receipt lines of the day that keep the landing contract, as logged."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.landing.business_day import business_day
from jobs.landing.deliveries import landed_transaction_lines, unchanged_receipts
from jobs.landing.judged_lines import judged_transaction_lines
from jobs.landing.tombstones import erased_line_count, read_erased
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    erased = read_erased(warehouse.store, business_date)
    day = business_day(business_date, settings)
    judged_lines = judged_transaction_lines(warehouse.spark, settings.landing_uri, day, erased)
    landed_lines = landed_transaction_lines(warehouse.spark, settings.landing_uri, business_date)
    with unchanged_receipts(ObjectStore(settings.landing_uri), business_date) as receipts_digest:
        warehouse.stage(
            TRANSACTION_LINES,
            business_date,
            transaction_lines(judged_lines),
            Origin(
                erasure_count=erased.erasure_count,
                erased_line_count=erased_line_count(landed_lines, erased),
                receipts_digest=receipts_digest,
            ),
        )


def transaction_lines(judged_lines: DataFrame) -> DataFrame:
    """Return the lines that break no rule, typed."""
    return judged_lines.where(F.col("is_kept"))
