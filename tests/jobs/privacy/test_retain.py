from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import InputError
from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.rescore import rescore_day
from jobs.privacy import retain
from jobs.privacy.retain import DeletedPhotos, delete_photos, expired_days
from jobs.schemas.runs import RETENTION_RUNS
from jobs.settings import Settings
from jobs.steps import wait_for_business_date
from jobs.tables import checkout_photos
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

AS_OF = date(2026, 6, 30)
FIRST_KEPT = AS_OF - timedelta(days=31)
OLD, OLDER = FIRST_KEPT - timedelta(days=1), FIRST_KEPT - timedelta(days=40)


def land(landing: ObjectStore, day: date, count: int = 3) -> None:
    """Photos of ten bytes, one that strayed, receipts and the marks."""
    for number in range(count - 1):
        landing.write(f"{photos_folder(day)}/store_id=0042/till_id=03/{number}.jpg", b"0123456789")
    landing.write(f"{photos_folder(day)}/stray/deep/thumbs.db", b"0123456789")
    landing.write(f"{transactions_folder(day)}/receipts.csv", b"")
    for folder in (photos_folder(day), transactions_folder(day)):
        landing.write(f"{folder}/{SUCCESS}", b"")


def warehouse_of(settings: Settings, run_id: str = f"retain-{AS_OF}") -> Warehouse:
    return Warehouse(ObjectStore(settings.warehouse_uri), run_id)


def delete_old(settings: Settings, run_id: str = f"retain-{AS_OF}") -> None:
    delete_photos(warehouse_of(settings, run_id), ObjectStore(settings.landing_uri), OLD, 31, 240)


def retain_by_command(settings: Settings, *arguments: str) -> str:
    uris = ["--landing-uri", settings.landing_uri, "--warehouse-uri", settings.warehouse_uri]
    done = CliRunner().invoke(app, ["retain", "--as-of", str(AS_OF), *uris, *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def records(settings: Settings, day: date) -> list[tuple[str, int, int]]:
    runs = warehouse_of(settings).runs.of_day(day, RETENTION_RUNS)
    return sorted((run["run_id"], run["deleted_photo_count"], run["deleted_bytes"]) for run in runs)


def keys(store: ObjectStore, folder: str = "") -> list[str]:
    return sorted(entry.key for entry in store.list(folder))


def publish_run(settings: Settings, day: date, photo_count: int) -> None:
    run = {"run_id": "night", "published_at": datetime(2026, 7, 1, tzinfo=UTC), "landed_photo_count": photo_count}
    warehouse_of(settings, "night").runs.write(day, run)


def test_photos_past_their_days_go_and_receipts_and_marks_stay(settings: Settings, landing: ObjectStore) -> None:
    for day in (OLDER, OLD, FIRST_KEPT):
        land(landing, day)
    kept = keys(landing, photos_folder(FIRST_KEPT))
    said = retain_by_command(settings)
    assert [f"{day}: 3 photos deleted, 30 bytes\n" in said for day in (OLDER, OLD, FIRST_KEPT)] == [True, True, False]
    assert keys(landing, "photos") == sorted([*(f"{photos_folder(day)}/{SUCCESS}" for day in (OLDER, OLD)), *kept])
    assert len(keys(landing, "transactions")) == 6
    assert records(settings, OLD) == [(f"retain-{AS_OF}", 3, 30)]
    assert records(settings, FIRST_KEPT) == []


def test_a_day_retained_twice_is_a_day_retained_once(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    retain_by_command(settings)
    assert f"{OLD}: 0 photos deleted, 0 bytes" in retain_by_command(settings)
    assert records(settings, OLD) == [(f"retain-{AS_OF}", 3, 30)]


def test_photos_that_come_late_go_too_and_are_counted_in(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    retain_by_command(settings)
    landing.write(f"{photos_folder(OLD)}/late.jpg", b"0123")
    assert f"{OLD}: 1 photos deleted, 4 bytes" in retain_by_command(settings)
    landing.write(f"{photos_folder(OLD)}/later.jpg", b"01")
    delete_old(settings, "retain-next")
    assert records(settings, OLD) == [(f"retain-{AS_OF}", 4, 34), ("retain-next", 1, 2)]


def test_a_dry_run_says_what_would_go_and_deletes_nothing(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    before = keys(landing)
    assert f"{OLD}: 3 photos would be deleted" in retain_by_command(settings, "--dry-run")
    assert (keys(landing), records(settings, OLD)) == (before, [])


@pytest.mark.parametrize("next_run", [f"retain-{AS_OF}", "retain-next"], ids=["the same run", "another run"])
@pytest.mark.parametrize("deletions", range(7))
def test_a_run_that_is_killed_is_finished_by_the_next_and_the_records_add_up(
    settings: Settings, landing: ObjectStore, monkeypatch: pytest.MonkeyPatch, deletions: int, next_run: str
) -> None:
    land(landing, OLD, 6)
    monkeypatch.setattr(retain, "BATCH_PHOTOS", 2)
    monkeypatch.setattr(retain, "THREADS", 1)
    delete, left = ObjectStore.delete, [deletions]

    def delete_some(store: ObjectStore, keys: Iterable[str]) -> None:
        deleted = list(keys)
        if deleted and deleted[0].startswith("photos/"):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        delete(store, deleted)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "delete", delete_some)
        if deletions < 6:
            with pytest.raises(KeyboardInterrupt):
                delete_old(settings)
        else:
            delete_old(settings)
    delete_old(settings, next_run)
    assert sum(count for _, count, _ in records(settings, OLD)) == 6
    assert sum(size for _, _, size in records(settings, OLD)) == 60
    assert keys(landing, photos_folder(OLD)) == [f"{photos_folder(OLD)}/{SUCCESS}"]
    assert not keys(ObjectStore(settings.warehouse_uri), "_retention")


def test_a_folder_that_is_no_business_date_is_left_alone(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    landing.write("photos/business_date=tomorrow/a.jpg", b"")
    landing.write("photos/a.jpg", b"")
    said = retain_by_command(settings)
    assert "photos/business_date=tomorrow' is not the folder of a business date" in said.replace("\n", "")
    assert landing.exists("photos/business_date=tomorrow/a.jpg")
    assert landing.exists("photos/a.jpg")


def test_a_date_that_is_yet_to_come_is_refused(settings: Settings, landing: ObjectStore) -> None:
    with pytest.raises(InputError, match="--as-of 2999-01-01 is yet to come; name"):
        expired_days(landing, date(2999, 1, 1), settings.time_zone, 31)


def test_the_days_are_a_setting(settings: Settings, landing: ObjectStore) -> None:
    land(landing, FIRST_KEPT)
    assert expired_days(landing, AS_OF, settings.time_zone, 31) == []
    assert expired_days(landing, AS_OF, settings.time_zone, 30) == [FIRST_KEPT]


def refusal(settings: Settings) -> str:
    return (
        f"photos of business date {OLD} were deleted on {datetime.now(UTC):%Y-%m-%d}, at the end of their retention "
        "period, and a run would replace the published day with one that lacks their age estimates; keep the published "
        f"tables, or restore the photos to '{settings.landing_uri}/{photos_folder(OLD)}' first"
    )


def test_a_night_of_a_published_day_whose_photos_were_deleted_is_refused(
    settings: Settings, landing: ObjectStore, spark: SparkSession
) -> None:
    land(landing, OLD)
    publish_run(settings, OLD, 3)
    wait_for_business_date.run(warehouse_of(settings, "again"), OLD, settings)
    retain_by_command(settings)
    landing.write(f"{photos_folder(OLD)}/late.jpg", b"0123")
    for step in (wait_for_business_date, checkout_photos):
        with pytest.raises(InputError) as refused:
            step.run(Warehouse(ObjectStore(settings.warehouse_uri), "again", spark), OLD, settings)
        assert str(refused.value) == refusal(settings)
    night = ["night", "--business-date", str(OLD), "--landing-uri", settings.landing_uri]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SparkSession, "stop", lambda session: None)  # the session is that of all tests
        done = CliRunner().invoke(app, [*night, "--warehouse-uri", settings.warehouse_uri])
    assert (done.exit_code, done.stderr.strip()) == (2, f"error: {refusal(settings)}")


def test_a_rescore_of_such_a_day_is_refused(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    publish_run(settings, OLD, 3)
    retain_by_command(settings)
    with pytest.raises(InputError) as refused:
        rescore_day(warehouse_of(settings, "rescore"), OLD, settings, lambda step, seconds: None)
    assert str(refused.value) == refusal(settings)


def test_a_night_may_run_again_when_its_photos_are_back(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    publish_run(settings, OLD, 3)
    retain_by_command(settings)
    land(landing, OLD)
    wait_for_business_date.run(warehouse_of(settings, "again"), OLD, settings)


def test_a_day_that_was_never_published_may_run_without_photos(settings: Settings, landing: ObjectStore) -> None:
    land(landing, OLD)
    assert f"warn: {OLD} was never published" in retain_by_command(settings)
    wait_for_business_date.run(warehouse_of(settings, "first"), OLD, settings)


def test_a_night_is_refused_while_photos_are_being_deleted(
    settings: Settings, landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(landing, OLD)
    publish_run(settings, OLD, 3)
    monkeypatch.setattr(retain, "_record", _die)
    with pytest.raises(KeyboardInterrupt):
        delete_old(settings)
    with pytest.raises(InputError, match=f"photos of business date {OLD} were deleted just now, at the end"):
        wait_for_business_date.run(warehouse_of(settings, "again"), OLD, settings)


def test_what_is_gone_adds_up() -> None:
    assert DeletedPhotos(2, 20).with_deleted([("a", 1), ("b", 2)]) == DeletedPhotos(4, 23)


def _die(*arguments: object) -> None:
    raise KeyboardInterrupt
