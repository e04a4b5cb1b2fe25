"""rejected_transaction_lines: the receipt lines of the day that break the landing contract, with the reason."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.landing.business_day import business_day
from jobs.landing.deliveries import unchanged_receipts
from jobs.landing.judged_lines import judged_transaction_lines
from jobs.landing.tombstones import read_erased
from jobs.schemas.landed import REJECTED_TRANSACTION_LINES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    erased = read_erased(warehouse.store, business_date)
    day = business_day(business_date, settings)
    judged_lines = judged_transaction_lines(warehouse.spark, settings.landing_uri, day, erased)
    with unchanged_receipts(ObjectStore(settings.landing_uri), business_date) as receipts_digest:
        warehouse.stage(
            REJECTED_TRANSACTION_LINES,
            business_date,
            rejected_transaction_lines(judged_lines),
            Origin(erasure_count=erased.erasure_count, receipts_digest=receipts_digest),
        )


def rejected_transaction_lines(judged_lines: DataFrame) -> DataFrame:
    """Return the lines that break a rule, as they came."""
    rejected = judged_lines.where(~F.col("is_kept"))
    return rejected.withColumn("landed_line", F.coalesce("unparsed_line", F.to_json("landed")))
