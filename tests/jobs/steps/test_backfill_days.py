from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from jobs.errors import StoreError
from jobs.landing.deliveries import photos_folder
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.settings import Settings
from jobs.steps import backfill_days
from jobs.steps.backfill_days import Progress
from jobs.steps.backfill_options import BackfillOptions, Published
from jobs.steps.order import module_of
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.landed_days import land_small_day

FIRST = date(2026, 11, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]


@pytest.fixture
def landing(settings: Settings) -> ObjectStore:
    return ObjectStore(settings.landing_uri)


def backfill(
    spark: SparkSession, settings: Settings, run_id: str, days: Sequence[date], published: Published = "skip"
) -> Warehouse:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), run_id, spark, model_version=settings.model_version)
    backfill_days.run(warehouse, days, settings, BackfillOptions(published))
    return warehouse


def told(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, bool]]:
    """What the step has printed of each day since the last look."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(line["business_date"][-2:], line["state"], line["is_built"]) for line in lines]


def test_a_day_that_fails_or_has_not_landed_does_not_stop_the_others_and_is_tried_again_under_the_same_run_id(
    spark: SparkSession, settings: Settings, landing: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    land_small_day(landing, DAYS[0], dated=DAYS[2])
    land_small_day(landing, DAYS[2])
    warehouse = backfill(spark, settings, "b1", DAYS)
    assert told(capsys) == [("01", "failed", False), ("02", "not landed", False), ("03", "published", True)]
    failure = warehouse.staging.failure(DAYS[0])
    assert failure
    assert failure.is_final
    assert "nothing is published for 2026-11-01" in failure.reason

    records = warehouse.runs.of_day(DAYS[2])
    land_small_day(landing, DAYS[0])
    land_small_day(landing, DAYS[1])
    backfill(spark, settings, "b1", DAYS)
    assert told(capsys) == [("01", "published", True), ("02", "published", True), ("03", "published", False)]
    assert warehouse.runs.of_day(DAYS[2]) == records
    assert warehouse.staging.planned_windows() == []


def test_what_a_killed_process_has_staged_is_taken_over_and_no_photo_is_looked_at_again(
    spark: SparkSession, settings: Settings, landing: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    land_small_day(landing, FIRST)
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "b1", spark, model_version=settings.model_version)
    for step in ("checkout_photos", "photo_age_estimates"):
        module_of(step).run(warehouse, FIRST, settings)
    photos = [entry.key for entry in landing.list(photos_folder(FIRST)) if entry.key.endswith(".jpg")]
    landing.delete(photos)

    backfill(spark, settings, "b1", [FIRST])
    assert told(capsys) == [("01", "published", True)]
    own = warehouse.runs.own(FIRST)
    assert own
    assert own["landed_photo_count"] == len(photos) == 3


def test_a_day_of_another_run_is_skipped_or_restated_and_its_tables_come_out_the_same(
    spark: SparkSession, settings: Settings, landing: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    land_small_day(landing, FIRST)
    backfill(spark, settings, "b1", [FIRST])
    backfill(spark, settings, "b2", [FIRST])
    assert told(capsys) == [("01", "published", True), ("01", "published before", False)]
    restated = backfill(spark, settings, "b3", [FIRST], "restate").runs.own(FIRST)
    assert restated
    assert restated["changed_tables"] == []
    assert set(dict(restated["table_digests"])) == {table.name for table in NIGHT_TABLES}


def test_a_day_that_breaks_in_an_unforeseen_way_is_told_with_its_reason(
    spark: SparkSession,
    settings: Settings,
    landing: ObjectStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for day in DAYS[:2]:
        land_small_day(landing, day)
    mixes, build = module_of("age_mixes"), module_of("age_mixes").run

    def broken(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
        if business_date == FIRST:
            raise MemoryError("no memory for the mixes")
        build(warehouse, business_date, settings)

    monkeypatch.setattr(mixes, "run", broken)
    warehouse = backfill(spark, settings, "b1", DAYS[:2])
    assert told(capsys) == [("01", "failed", False), ("02", "published", True)]
    failure = warehouse.staging.failure(FIRST)
    assert failure
    assert (failure.reason, failure.is_final) == ("MemoryError: no memory for the mixes", False)


def test_a_published_day_whose_lock_is_held_stops_nothing_and_its_leftovers_go(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "b1")
    warehouse.runs.write(FIRST, {"run_id": "b1", "published_at": datetime(2026, 11, 20, tzinfo=UTC)})
    warehouse.staging.mark_checked(FIRST, [])
    # A publisher that was killed after its commit mark holds the lock for minutes.
    with warehouse.runs.lock(FIRST, settings.lock_stale_seconds):
        backfill_days.run(warehouse, DAYS[:2], settings, BackfillOptions())
    assert told(capsys) == [("01", "published", False), ("02", "not landed", False)]
    assert warehouse.staging.planned_windows() == []


def test_a_warehouse_that_cannot_be_reached_stops_the_chunk(
    spark: SparkSession, settings: Settings, landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_small_day(landing, FIRST)

    def gone(store: ObjectStore) -> None:
        raise StoreError("the warehouse is gone")

    monkeypatch.setattr(ObjectStore, "check_reachable", gone)
    with pytest.raises(StoreError, match="the warehouse is gone"):
        backfill(spark, settings, "b1", DAYS)


def test_progress_counts_days_photos_and_the_time_left() -> None:
    progress = Progress(day_count=4)
    progress.began -= 10
    progress.add(is_built=False, photo_count=0)
    assert str(progress) == "1 of 4 days done"
    progress.add(is_built=True, photo_count=50)
    assert str(progress) == "2 of 4 days done, 5.0 photos/s, about 20 s left"
    progress.began -= 1790
    assert str(progress) == "2 of 4 days done, 0.0 photos/s, about 60 min left"
