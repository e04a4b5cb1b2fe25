"""Sample days with the clock of one till put forward, matched by Spark and asked by DuckDB."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.landing.deliveries import photos_folder
from jobs.operations.sample_day.sample_baskets import synthetic_baskets
from jobs.operations.sample_day.sample_photos import sample_photos
from jobs.operations.sample_day.sample_receipts import sample_receipts
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.steps.rules.till_clocks import DISAGREEING_CLOCKS
from jobs.tables.transaction_ages import PhotoMatching, transaction_ages
from tests.given.rows import BUSINESS_DATE, at, certain_of

FIELD = Path(__file__).parents[2] / "field" / "transactions"

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
        TRANSACTION_LINES: as_table(TRANSACTION_LINES, transactions.to_dict("records")),
        CHECKOUT_PHOTOS: as_table(CHECKOUT_PHOTOS, photos.to_dict("records")),
        PHOTO_AGE_ESTIMATES: as_table(PHOTO_AGE_ESTIMATES, estimates),
    }


def as_table(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, table.schema)


def warnings_of(spark: SparkSession, settings: Settings, day: dict[Table, pa.Table]) -> list[str]:
    rows = [spark.createDataFrame(day[table]) for table in day]
    connection = duckdb.connect()
    connection.register("checkout_photos", day[CHECKOUT_PHOTOS])
    bounds, version = settings.age_group_lower_bounds_years, settings.model_version
    ages = transaction_ages(*rows, settings.part(PhotoMatching), bounds, version)
    connection.register("transaction_ages", ages.toArrow())
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
    assert " instead of 600 s (median photo_offset_seconds " in warning


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


def at_one_till(receipts: list[tuple[str, str]], photos: list[datetime]) -> duckdb.DuckDBPyConnection:
    """A till with receipts from opened_at to closed_at, and photos that belong to none of them."""
    connection = duckdb.connect()
    skew = {"till_clock_skew_seconds": 0.0, "photo_offset_seconds": None, "store_id": "K11", "till_id": "01"}
    rows = [
        skew | {"transaction_id": str(n), "opened_at": at(opened_at), "closed_at": at(closed_at)}
        for n, (opened_at, closed_at) in enumerate(receipts)
    ]
    taken = [{"photo_key": str(moment), "store_id": "K11", "till_id": "01", "taken_at": moment} for moment in photos]
    connection.register("transaction_ages", as_table(TRANSACTION_AGES, rows))
    connection.register("checkout_photos", as_table(CHECKOUT_PHOTOS, taken))
    return connection


def found(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [
        row[0] for row in connection.execute(DISAGREEING_CLOCKS, {"till_clock_drift_warning_seconds": 30}).fetchall()
    ]


@pytest.mark.parametrize("hours", [1, 3, 14, -1, -3, -12, 5.5, -3.5])
def test_a_till_in_local_time_is_named_with_the_hours_and_the_setting(hours: float) -> None:
    with (FIELD / "local_time.csv").open() as lines:
        receipts = [(line["opened_at"][11:], line["closed_at"][11:]) for line in csv.DictReader(lines)]
    photos = [at(closed_at) - timedelta(hours=hours, seconds=20) for _, closed_at in receipts]
    (sentence,) = found(at_one_till(receipts, photos))
    assert f" would have one if its clock were taken as {3600 * hours:.0f} s ahead of its camera's" in sentence
    assert f"{hours:g} hours: is closed_at local time instead of UTC?" in sentence
    assert sentence.endswith(f"CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS=K11/01={3600 * hours:.0f}")


def test_a_till_of_whose_photos_none_fits_is_always_named() -> None:
    one_receipt = [("10:00:00", "10:01:00")]
    assert found(at_one_till(one_receipt, [at("17:15:00")])) == [
        "till K11/01: none of its 1 photos fits one of its 1 receipts; no shift of its clock up to 14 hours fits; "
        "see CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS"
    ]
    assert found(at_one_till(one_receipt, [at("10:10:30")])) == [
        "till K11/01: none of its 1 photos fits one of its 1 receipts; at most 1 receipts would have one, "
        "with CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS=K11/01=-600"
    ]
    assert found(at_one_till(one_receipt, [])) == []
