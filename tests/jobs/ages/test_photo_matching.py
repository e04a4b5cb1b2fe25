"""Spark's matching against DuckDB's: thousands of random days as stores of one job, and real receipts."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.ages.photo_matching import OpenReceipts, TillEvent
from jobs.landing.deliveries import photos_folder
from jobs.operations.sample_day.sample_baskets import completejourney_baskets
from jobs.operations.sample_day.sample_photos import sample_photos
from jobs.operations.sample_day.sample_receipts import sample_receipts
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.schemas.table import Table
from jobs.settings import read_settings
from jobs.tables.transaction_ages import PhotoMatching, transaction_ages
from models.serving.model_manifest import read_manifest
from models.serving.model_versions import MODEL_VERSIONS
from tests.given.random_days import Days, random_days
from tests.given.rows import line

RANDOM_DAYS = 2400
REAL_DATES = (date(2026, 3, 14), date(2026, 11, 20), date(2026, 12, 23))
SPAN_SECONDS, BURST_SECONDS = 45, 3
YOUNG_ADULT_CORRECTION = read_manifest(MODEL_VERSIONS[-1]).young_adult_correction
TABLES = (TRANSACTION_LINES, CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES)

SPANS = f"""
CREATE TABLE spans AS
SELECT store_id, till_id, transaction_id, closed_at, closed_at - skew AS closes,
    coalesce(opened_at, closed_at - INTERVAL {SPAN_SECONDS} SECOND) - skew AS opens
FROM (SELECT *, to_microseconds((coalesce(seconds, 0) * 1e6)::BIGINT) AS skew
      FROM transaction_lines LEFT JOIN skews USING (store_id, till_id))
"""
MATCHED = """
CREATE TABLE matched AS
SELECT spans.*, photo_key, taken_at FROM checkout_photos photos JOIN spans USING (store_id, till_id)
WHERE photos.transaction_id IS NULL AND taken_at BETWEEN opens AND closes
QUALIFY row_number() OVER (PARTITION BY photo_key ORDER BY closes, spans.transaction_id) = 1
UNION ALL BY NAME
SELECT spans.*, photo_key, taken_at FROM checkout_photos JOIN spans USING (store_id, till_id, transaction_id)
"""
EXPECTED = f"""
WITH photos AS (
    SELECT matched.*, list_sum(list_transform(range(101), year -> year * age_distribution[year + 1])) AS age,
        list_sum(list_transform(range(101), year -> year * year * age_distribution[year + 1])) AS age_squared,
        list_sum(age_distribution[19:25]) AS young_adult,
        (SELECT count(*) FROM matched first WHERE (first.store_id, first.till_id, first.transaction_id)
             = (matched.store_id, matched.till_id, matched.transaction_id)
         AND (first.taken_at, first.photo_key) <= (matched.taken_at, matched.photo_key)
         AND NOT EXISTS (FROM matched before WHERE (before.store_id, before.till_id, before.transaction_id)
             = (first.store_id, first.till_id, first.transaction_id)
             AND (before.taken_at, before.photo_key) < (first.taken_at, first.photo_key)
             AND before.taken_at >= first.taken_at - INTERVAL {BURST_SECONDS} SECOND)) AS burst
    FROM matched JOIN photo_age_estimates USING (photo_key)
),
bursts AS (
    SELECT store_id, till_id, transaction_id, burst, avg(age) AS age, avg(age_squared) AS age_squared,
        avg(young_adult) AS young_adult
    FROM photos GROUP BY ALL
),
means AS (
    SELECT store_id, till_id, transaction_id, avg(age) AS age, avg(age_squared) AS age_squared,
        avg(young_adult) AS young_adult
    FROM bursts GROUP BY ALL
),
ages AS (
    SELECT store_id, till_id, transaction_id,
        age - {YOUNG_ADULT_CORRECTION} * sqrt(greatest(age_squared - age ** 2, 0)) * young_adult AS age
    FROM means
),
listed AS (
    SELECT store_id, till_id, transaction_id, list(photo_key ORDER BY taken_at, photo_key) AS photo_keys,
        count(*) AS photo_count, count(age) AS usable_photo_count,
        epoch_us(any_value(closes)) / 1e6 - epoch_us(max(taken_at)) / 1e6 AS photo_offset_seconds
    FROM photos GROUP BY ALL
)
SELECT store_id, till_id, transaction_id, coalesce(photo_keys, []) AS photo_keys, coalesce(photo_count, 0),
    coalesce(usable_photo_count, 0), round(photo_offset_seconds, 3), age,
    CASE WHEN usable_photo_count > 0 THEN 'estimated' WHEN photo_count > 0 THEN 'no_usable_photo' ELSE 'no_photo' END
FROM spans LEFT JOIN listed USING (store_id, till_id, transaction_id)
LEFT JOIN ages USING (store_id, till_id, transaction_id)
ORDER BY ALL
"""
FOUND = """
SELECT store_id, till_id, transaction_id, photo_keys, photo_count, usable_photo_count, round(photo_offset_seconds, 3),
    estimated_age_years, estimate_status
FROM transaction_ages ORDER BY ALL
"""
AGE = 7
"""Column of both."""


@pytest.fixture(scope="module")
def matched_days(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """Random and real days, what Spark made of them in one job, and what DuckDB matched."""
    folder = tmp_path_factory.mktemp("days")
    days = random_days(RANDOM_DAYS, np.random.default_rng(20))
    for business_date in REAL_DATES:
        add_real_day(days, business_date)
    settings = read_settings(
        {},
        landing_uri="/unused",
        warehouse_uri="/unused",
        till_clock_skew_seconds=days.till_clock_skew_seconds,
        transaction_span_seconds=SPAN_SECONDS,
        photo_burst_seconds=BURST_SECONDS,
    )
    connection = duckdb.connect()
    rows = []
    for table in TABLES:
        file = write(folder, table, getattr(days, table.name))
        connection.execute(f"CREATE TABLE {table.name} AS FROM '{file}'")
        rows.append(spark.read.parquet(file))
    bounds, version = settings.age_group_lower_bounds_years, settings.model_version
    ages = transaction_ages(*rows, settings.part(PhotoMatching), bounds, version)
    connection.register("transaction_ages", ages.toArrow())
    tills = [(*till.split("/"), seconds) for till, seconds in days.till_clock_skew_seconds.items()]
    skews = pd.DataFrame(tills, columns=["store_id", "till_id", "seconds"])
    connection.register("skews", skews)
    connection.execute(SPANS)
    connection.execute(MATCHED)
    return connection


def write(folder: Path, table: Table, rows: list[dict[str, Any]]) -> str:
    file = folder / f"{table.name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, table.schema), file)
    return str(file)


def add_real_day(days: Days, business_date: date) -> None:
    """Add real receipts with photos of their buyers twice: as the tills log them, and without opened_at."""
    random = np.random.default_rng(business_date.toordinal())
    baskets = completejourney_baskets(business_date, "Europe/Moscow")
    transactions = sample_receipts(baskets, "Europe/Moscow", random).transactions
    photos = sample_photos(transactions, photos_folder(business_date), random)
    photos = photos[photos["till_id"].notna() & (photos["fault"] != "key_without_time").fillna(True)]
    times = pd.to_datetime(
        photos["photo_key"].str.extract(r"/(\w+\.\d+)Z\.jpg$")[0], format="%Y%m%dT%H%M%S.%f", utc=True
    )
    for kind in ("queue-real", "any-real"):
        for receipt in transactions.to_dict("records"):
            place = {"store_id": f"{kind}-{business_date}-{receipt['store_id']}", "till_id": receipt["till_id"]}
            opened_at = receipt["opened_at"] if kind == "queue-real" else None
            times_of = {"opened_at": opened_at, "closed_at": receipt["closed_at"]}
            days.transaction_lines.append(line(**place, **times_of, transaction_id=receipt["transaction_id"]))
        for photo, taken_at in zip(photos.to_dict("records"), times, strict=True):
            place = {"store_id": f"{kind}-{business_date}-{photo['store_id']}", "till_id": photo["till_id"]}
            days.add_photo(place | {"photo_key": f"{kind}/{photo['photo_key']}", "taken_at": taken_at}, 30)


def test_the_days_are_as_nasty_as_they_should_be(matched_days: duckdb.DuckDBPyConnection) -> None:
    counts = matched_days.sql("""
        SELECT (SELECT count(DISTINCT store_id) FROM spans), (SELECT count(*) FROM matched),
            (SELECT count(*) FROM matched WHERE taken_at IN (opens, closes)),
            (SELECT count(*) FROM spans a JOIN spans b USING (store_id, till_id)
             WHERE a.opens < b.opens AND b.closes < a.closes),
            (SELECT count(*) FROM spans a JOIN spans b USING (store_id, till_id, closes)
             WHERE a.transaction_id < b.transaction_id),
            (SELECT count(*) FROM checkout_photos WHERE transaction_id IS NOT NULL)
    """).fetchone()
    assert counts is not None
    assert all(count > 1000 for count in counts), counts


def test_spark_gives_the_rows_of_plain_sql(matched_days: duckdb.DuckDBPyConnection) -> None:
    found, expected = matched_days.sql(FOUND).fetchall(), matched_days.sql(EXPECTED).fetchall()
    assert len(found) == len(expected) > 20_000
    ages, expected_ages = (np.array([row[AGE] for row in rows], dtype="float64") for rows in (found, expected))
    np.testing.assert_allclose(ages, expected_ages, atol=1e-3)
    rest, expected_rest = ([row[:AGE] + row[AGE + 1 :] for row in rows] for rows in (found, expected))
    assert [(mine, other) for mine, other in zip(rest, expected_rest, strict=True) if mine != other] == []


def test_where_one_buyer_follows_another_spark_gives_the_rows_of_an_asof_join(
    matched_days: duckdb.DuckDBPyConnection,
) -> None:
    matched_by_asof = """
        SELECT photo_key, spans.store_id, spans.till_id, spans.transaction_id
        FROM checkout_photos photos ASOF JOIN spans
            ON photos.store_id = spans.store_id AND photos.till_id = spans.till_id AND photos.taken_at <= spans.closes
        WHERE photos.transaction_id IS NULL AND photos.taken_at >= opens AND photos.store_id LIKE 'queue-%'
    """
    matched_by_spark = """
        SELECT photo_key, ages.store_id, ages.till_id, ages.transaction_id
        FROM (SELECT *, unnest(photo_keys) AS photo_key FROM transaction_ages) ages
        JOIN checkout_photos photos USING (photo_key)
        WHERE photos.transaction_id IS NULL AND ages.store_id LIKE 'queue-%'
    """
    differing = (
        f"(({matched_by_asof}) EXCEPT ({matched_by_spark})) UNION (({matched_by_spark}) EXCEPT ({matched_by_asof}))"
    )
    assert matched_days.sql(differing).fetchall() == []
    assert len(matched_days.sql(matched_by_asof).fetchall()) > 3000


def test_a_photo_is_used_at_most_once(matched_days: duckdb.DuckDBPyConnection) -> None:
    used = matched_days.sql("SELECT unnest(photo_keys) AS photo_key FROM transaction_ages").fetchall()
    assert len(used) == len(set(used)) > 10_000


ticks = st.integers(0, 8)
spans = st.lists(st.tuples(ticks, ticks).map(sorted), max_size=8)


@given(spans, st.lists(ticks, max_size=8))
def test_a_photo_goes_to_the_receipt_that_closed_first_of_those_that_hold_it(
    spans: list[list[int]], photos: list[int]
) -> None:
    receipts: list[TillEvent] = [
        ("s", "t", opened, closed, f"r{number}") for number, (opened, closed) in enumerate(spans)
    ]
    shots: list[TillEvent] = [("s", "t", moment, None, f"p{number}") for number, moment in enumerate(photos)]
    events = sorted([*receipts, *shots], key=lambda event: (event[2], event[3] is None))
    holding = {
        shot[4]: [(closed, name) for *_, opened, closed, name in receipts if opened <= shot[2] <= closed]
        for shot in shots
    }
    expected = {name: min(found)[1] for name, found in holding.items() if found}
    assert found_of(events) == expected


def found_of(events: list[TillEvent]) -> dict[str, str]:
    """Photos that are held, and by which receipt."""
    held = zip(events, OpenReceipts().holders(events), strict=True)
    return {event[4]: transaction_id for event, transaction_id in held if transaction_id is not None}


def test_what_is_open_at_one_till_holds_no_photo_of_the_next() -> None:
    events: list[TillEvent] = [("s", "01", 0, 100, "r"), ("s", "02", 50, None, "p"), ("t", "02", 50, None, "q")]
    assert found_of(events) == {}


@pytest.mark.timeout(60)
def test_a_till_with_two_hundred_thousand_rows_all_open_at_once_takes_seconds() -> None:
    count = 100_000
    receipts: list[TillEvent] = [("s", "bad", number, 2 * count - number, f"r{number}") for number in range(count)]
    shots: list[TillEvent] = [("s", "bad", count + number, None, f"p{number}") for number in range(count)]
    assert found_of(receipts + shots) == {f"p{n}": f"r{min(count - n, count - 1)}" for n in range(count)}
