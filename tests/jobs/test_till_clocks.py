"""Sample days with the clock of one till put forward, matched by Spark and asked by DuckDB."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs import tables
from jobs.landing import photos_folder
from jobs.sample_baskets import synthetic_baskets
from jobs.sample_photos import sample_photos
from jobs.sample_receipts import sample_receipts
from jobs.settings import Settings
from jobs.tables import Table
from jobs.till_clocks import DISAGREEING_CLOCKS
from jobs.transaction_ages import transaction_ages
from tests.rows import BUSINESS_DATE, certain_of

SHIFTED = ("0042", "02")


def landed_day(ahead_seconds: float) -> dict[Table, pa.Table]:
    """A synthetic sample day in which one till's receipts are stamped by a clock that runs ahead."""
    random = np.random.default_rng(5)
    baskets = synthetic_baskets(BUSINESS_DATE, "Europe/Moscow", random)
    transactions = sample_receipts(baskets, "Europe/Moscow", random).transactions
    photos = sample_photos(transactions, photos_folder(BUSINESS_DATE), random)
    photos = photos[photos["fault"].isna() & photos["till_id"].notna()]
    times = photos["photo_key"].str.extract(r"/(\w+\.\d+)Z\.jpg$")[0]
    photos = photos.assign(taken_at=pd.to_datetime(times, format="%Y%m%dT%H%M%S.%f", utc=True), transaction_id=None)
    is_shifted = (transactions["store_id"] + transactions["till_id"]) == "".join(SHIFTED)
    for moment in ("opened_at", "closed_at"):
        transactions.loc[is_shifted, moment] += pd.Timedelta(seconds=ahead_seconds)
    estimates = [{"photo_key": key, "age_distribution": certain_of(30)} for key in photos["photo_key"]]
    return {
        tables.TRANSACTION_LINES: as_table(tables.TRANSACTION_LINES, transactions.to_dict("records")),
        tables.CHECKOUT_PHOTOS: as_table(tables.CHECKOUT_PHOTOS, photos.to_dict("records")),
        tables.PHOTO_AGE_ESTIMATES: as_table(tables.PHOTO_AGE_ESTIMATES, estimates),
    }


def as_table(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, table.schema)


def warnings_of(spark: SparkSession, settings: Settings, day: dict[Table, pa.Table]) -> list[str]:
    rows = [spark.createDataFrame(day[table]) for table in day]
    connection = duckdb.connect()
    connection.register("checkout_photos", day[tables.CHECKOUT_PHOTOS])
    connection.register("transaction_ages", transaction_ages(*rows, settings).toArrow())
    limit = {"till_clock_drift_warning_seconds": settings.till_clock_drift_warning_seconds}
    return [sentence for (sentence,) in connection.execute(DISAGREEING_CLOCKS, limit).fetchall()]


@pytest.mark.parametrize("ahead_seconds", [90, 600, -90, 3600])
def test_a_till_whose_clock_is_off_is_named_with_the_seconds_it_runs_ahead(
    spark: SparkSession, settings: Settings, ahead_seconds: int
) -> None:
    (warning,) = warnings_of(spark, settings, landed_day(ahead_seconds))
    assert warning.startswith(f"till {'/'.join(SHIFTED)}: ")
    assert abs(float(warning.split(" taken as ")[1].split(" s ")[0]) - ahead_seconds) <= 20


def test_a_day_of_right_clocks_and_one_whose_wrong_clock_is_set_right_warn_of_nothing(
    spark: SparkSession, settings: Settings
) -> None:
    corrected = settings.model_copy(update={"till_clock_skew_seconds": {"/".join(SHIFTED): 600.0}})
    assert warnings_of(spark, settings, landed_day(0)) == []
    assert warnings_of(spark, corrected, landed_day(600)) == []


def test_a_correction_where_none_is_needed_is_warned_of_too(spark: SparkSession, settings: Settings) -> None:
    wrong = settings.model_copy(update={"till_clock_skew_seconds": {"/".join(SHIFTED): 600.0}})
    (warning,) = warnings_of(spark, wrong, landed_day(0))
    assert warning.startswith(f"till {'/'.join(SHIFTED)}: ")
    assert ", not 600 (median photo_offset_seconds " in warning


def test_a_till_of_a_hundred_thousand_receipts_is_asked_by_a_sample() -> None:
    connection = duckdb.connect()
    connection.execute("""
        CREATE TABLE transaction_ages AS
        SELECT 's' AS store_id, 'bad' AS till_id, number::VARCHAR AS transaction_id, closed_at,
            closed_at - INTERVAL 60 SECOND AS opened_at, 0.0 AS till_clock_skew_seconds,
            NULL::DOUBLE AS photo_offset_seconds
        FROM (SELECT number, TIMESTAMPTZ '2026-11-20 08:00:00Z' + to_milliseconds(number * 500) AS closed_at
              FROM range(100000) numbers(number));
        CREATE TABLE checkout_photos AS
        SELECT store_id, till_id, closed_at AS taken_at, NULL::VARCHAR AS transaction_id FROM transaction_ages
    """)
    assert connection.execute(DISAGREEING_CLOCKS, {"till_clock_drift_warning_seconds": 30}).fetchall() == []
