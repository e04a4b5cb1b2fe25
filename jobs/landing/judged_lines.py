"""judged_lines: parses and judges a day's receipt lines in Spark, each line alone and compared with other lines."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.landing.business_day import BusinessDay
from jobs.landing.cashier_pseudonyms import key_generation
from jobs.landing.deliveries import landed_transaction_lines, line_reader, receipt_files
from jobs.landing.receipt_comparison import compared_lines
from jobs.landing.receipt_lines import JUDGED_LINE_SCHEMA, judged_receipt_lines
from jobs.landing.tombstones import ErasedPeople, without_erased_landed_lines
from jobs.warehouse.arrow_frames import arrow_frame
from jobs.warehouse.object_store import ObjectStore


def judged_transaction_lines(
    spark: SparkSession, landing_uri: str, day: BusinessDay, erased: ErasedPeople
) -> DataFrame:
    """Read the receipt lines of a day, leave out erased transactions, and judge the others as `judged_lines` does."""
    # Erased lines must be left out before lines are compared: they may not make other lines repeats.
    if not erased.is_empty:
        landed_lines = landed_transaction_lines(spark, landing_uri, day.business_date)
        return judged_lines(without_erased_landed_lines(landed_lines, erased), day)
    landing = ObjectStore(landing_uri)
    read = line_reader(landing, key_generation(os.environ))

    # Lines are judged in the task that reads them, so that they do not go from Python to Spark and back.
    def read_and_judge(key: str) -> Iterator[pa.RecordBatch]:
        return (judged_receipt_lines(batch, day) for batch in read(key))

    files = [entry.key for entry in receipt_files(landing, day.business_date)]
    return _compared(arrow_frame(spark, landing, JUDGED_LINE_SCHEMA, files, read_and_judge))


def judged_lines(landed_lines: DataFrame, day: BusinessDay) -> DataFrame:
    """Judge delivered lines: return a row for each, with `is_kept` and, for a rejected line, the reason."""

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return (judged_receipt_lines(batch, day) for batch in batches)

    return _compared(landed_lines.mapInArrow(judge, from_arrow_schema(JUDGED_LINE_SCHEMA)))


def _compared(judged: DataFrame) -> DataFrame:
    columns = [name for name in judged.columns if name not in ("rejection_reason", "rejection_kind")]
    return judged.sparkSession.sql(compared_lines(columns), judged_lines=judged)
