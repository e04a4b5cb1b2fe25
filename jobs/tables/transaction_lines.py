"""transaction_lines: the receipt lines of the day that meet the landing contract, with typed columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.landing.business_day import business_day
from jobs.landing.deliveries import landed_transaction_lines, unchanged_receipts
from jobs.landing.judged_lines import judged_transaction_lines
from jobs.landing.tombstones import erased_line_count, read_erased
from jobs.schemas.landed import REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.settings import Settings
from jobs.tables.rejected_transaction_lines import rejected_transaction_lines
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    """Stage both kept and rejected receipt lines, because each file is read and judged once for both tables."""
    # Read before the files: publish_night refuses the rows if someone is erased after this moment.
    erased = read_erased(warehouse.store, business_date)
    day = business_day(business_date, settings.time_zone, settings.business_date_allowance_minutes)
    landed_lines = landed_transaction_lines(warehouse.spark, settings.landing_uri, business_date)
    # Cached, because two tables are written from it.
    judged_lines = judged_transaction_lines(warehouse.spark, settings.landing_uri, day, erased).cache()
    with unchanged_receipts(ObjectStore(settings.landing_uri), business_date) as receipts_digest:
        origin = Origin(erasure_count=erased.erasure_count, receipts_digest=receipts_digest)
        of_kept_lines = replace(origin, erased_line_count=erased_line_count(landed_lines, erased))
        warehouse.stage(TRANSACTION_LINES, business_date, transaction_lines(judged_lines), of_kept_lines)
        rejected_lines = rejected_transaction_lines(judged_lines)
        warehouse.stage(REJECTED_TRANSACTION_LINES, business_date, rejected_lines, origin)
    judged_lines.unpersist()


def transaction_lines(judged_lines: DataFrame) -> DataFrame:
    """Return the kept lines of `judged_lines`, with typed columns."""
    return judged_lines.where(F.col("is_kept"))
