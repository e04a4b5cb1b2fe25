import hashlib
import json
import logging
import os
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from jobs.errors import InputError, PublishingLockError, UnchangedDayError
from jobs.landing.deliveries import receipts_digest
from jobs.report.page_address import page_url
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.dictionary import PUBLISHED_TABLES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.steps import announce_published_day, publish_night
from jobs.steps.publish_night import input_digest
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.run_records import RunRecords
from jobs.warehouse.staging import Staging
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, arrow_rows, line
from tests.given.staged_runs import staged_run


def published(settings: Settings, query: str) -> list[tuple[object, ...]]:
    root = settings.warehouse_uri.removeprefix("file://")
    return duckdb.sql(query.replace("warehouse/", f"{root}/")).fetchall()


LINES = "SELECT run_id, count(*) FROM 'warehouse/transaction_lines/*/*.parquet' GROUP BY ALL"
CHECKS = "SELECT run_id, rule, findings FROM 'warehouse/check_results/*/*.parquet'"
RUNS = "SELECT run_id, accepted_line_count, net_amount::VARCHAR FROM 'warehouse/pipeline_runs/*/*.parquet' ORDER BY ALL"


def test_a_second_run_replaces_the_day_and_both_runs_stay_on_record(settings: Settings) -> None:
    publish_night.run(staged_run(settings, "run-1", 3), BUSINESS_DATE, settings)
    publish_night.run(staged_run(settings, "run-2", 2), BUSINESS_DATE, settings)
    assert published(settings, LINES) == [("run-2", 2)]
    assert published(settings, RUNS) == [("run-1", 3, "7.50"), ("run-2", 2, "5.00")]
    assert published(settings, CHECKS) == [("run-2", "the day has photos", ["none landed"])]
    assert not list(ObjectStore(settings.warehouse_uri).list("_staging"))


def test_a_run_tells_which_try_built_each_table_and_nothing_where_nobody_counted(settings: Settings) -> None:
    publish_night.run(staged_run(settings, "run-1", 3, try_number=2), BUSINESS_DATE, settings)
    publish_night.run(staged_run(settings, "run-2", 3), BUSINESS_DATE, settings)
    tries = "SELECT list_distinct(map_values(table_tries)) FROM 'warehouse/pipeline_runs/*/*.parquet' ORDER BY run_id"
    assert published(settings, tries) == [([2],), ([],)]


def test_a_run_tells_which_tables_it_changed_and_that_a_run_of_the_same_changed_none(settings: Settings) -> None:
    for run_id, line_count in (("run-1", 3), ("run-2", 3), ("run-3", 2)):
        publish_night.run(staged_run(settings, run_id, line_count), BUSINESS_DATE, settings)
    changes = "SELECT run_id, previous_run_id, changed_tables FROM 'warehouse/pipeline_runs/*/*.parquet' ORDER BY ALL"
    assert published(settings, changes) == [
        ("run-1", None, None),
        ("run-2", "run-1", []),
        ("run-3", "run-2", ["transaction_lines"]),
    ]


def test_a_run_that_dies_before_its_staging_is_gone_tells_its_change_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_night.run(staged_run(settings, "run-1", 3), BUSINESS_DATE, settings)
    warehouse = staged_run(settings, "run-2", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "drop", _die)
        with pytest.raises(KeyboardInterrupt):
            publish_night.run(warehouse, BUSINESS_DATE, settings)
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    announce_published_day.run(warehouse, BUSINESS_DATE, settings)


def test_a_day_is_announced_when_it_is_new_or_changed_and_not_when_it_came_out_the_same(settings: Settings) -> None:
    for run_id in ("run-1", "run-2"):
        publish_night.run(staged_run(settings, run_id, 3), BUSINESS_DATE, settings)
    store = ObjectStore(settings.warehouse_uri)
    announce_published_day.run(Warehouse(store, "run-1"), BUSINESS_DATE, settings)
    with pytest.raises(UnchangedDayError, match="2026-11-20 is published again, and no table changed since"):
        announce_published_day.run(Warehouse(store, "run-2"), BUSINESS_DATE, settings)
    with pytest.raises(InputError, match="run 'run-3' has not published 2026-11-20; run publish_night first"):
        announce_published_day.run(Warehouse(store, "run-3"), BUSINESS_DATE, settings)


def test_the_announcement_tells_run_rows_changes_and_where_the_report_lies(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id, line_count in (("run-1", 3), ("run-2", 2)):
        publish_night.run(staged_run(settings, run_id, line_count), BUSINESS_DATE, settings)
        announce_published_day.run(Warehouse(ObjectStore(settings.warehouse_uri), run_id), BUSINESS_DATE, settings)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert set(first["changed_tables"]) == {table.name for table in PUBLISHED_TABLES}
    assert second["changed_tables"] == ["transaction_lines"]
    assert (second["business_date"], second["run_id"]) == ("2026-11-20", "run-2")
    assert (second["row_counts"]["transaction_lines"], second["row_counts"]["photo_coverage"]) == (2, 0)
    assert second["report"] == f"{settings.warehouse_uri}/reports/business_date=2026-11-20/index.html"
    served = page_url(BUSINESS_DATE, settings.warehouse_uri, "https://ages.example/reports")
    assert served == "https://ages.example/reports/business_date=2026-11-20/index.html"


def test_a_run_that_dies_while_publishing_is_mended_by_running_it_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_night.run(staged_run(settings, "run-1", 3), BUSINESS_DATE, settings)
    warehouse = staged_run(settings, "run-2", 2)
    with monkeypatch.context() as patch:
        patch.setattr(RunRecords, "write", _die)
        with pytest.raises(KeyboardInterrupt):
            publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert [run[0] for run in published(settings, RUNS)] == ["run-1"]
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert [run[0] for run in published(settings, RUNS)] == ["run-1", "run-2"]
    assert published(settings, LINES) == [("run-2", 2)]


def test_a_retry_that_comes_while_the_day_is_published_is_refused_and_later_changes_nothing(settings: Settings) -> None:
    warehouse = staged_run(settings, "run-1", 1)
    with warehouse.runs.lock(BUSINESS_DATE, 240), pytest.raises(PublishingLockError, match="is being published by run"):
        publish_night.run(warehouse, BUSINESS_DATE, settings)
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert published(settings, LINES) == [("run-1", 1)]


def test_a_publisher_that_lost_its_lock_stops_before_the_next_table(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps after the first table, and another run takes the lock over."""
    publish_night.run(staged_run(settings, "run-1", 3), BUSINESS_DATE, settings)
    zombie, other = (staged_run(settings, run_id, count) for run_id, count in (("zombie", 2), ("run-2", 1)))
    promote = Warehouse.promote

    def promote_and_sleep(warehouse: Warehouse, table: Table, business_date: date) -> None:
        promote(warehouse, table, business_date)
        if warehouse is zombie:
            publish_night.run(other, BUSINESS_DATE, settings.model_copy(update={"lock_stale_seconds": 0}))

    monkeypatch.setattr(Warehouse, "promote", promote_and_sleep)
    with pytest.raises(PublishingLockError, match=r"run 'zombie' stops .* lost its lock to run 'run-2'"):
        publish_night.run(zombie, BUSINESS_DATE, settings)
    assert published(settings, LINES) == [("run-2", 1)]
    assert [run[0] for run in published(settings, RUNS)] == ["run-1", "run-2"]


def test_staging_that_a_dead_run_left_long_ago_is_swept_with_a_line_in_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobs")
    warehouse = staged_run(settings, "run-1", 1)
    warehouse.store.write("_staging/dead/business_date=2026-11-01/a", b"rows")
    warehouse.store.write("_staging/young/business_date=2026-11-01/a", b"rows")
    dead = Path(settings.warehouse_uri.removeprefix("file://"), "_staging/dead/business_date=2026-11-01/a")
    os.utime(dead, (dead.stat().st_mtime - 8 * 86_400,) * 2)
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert [entry.key.split("/")[1] for entry in warehouse.store.list("_staging")] == ["young"]
    (line_of_log,) = [message for message in caplog.messages if "dead" in message]
    assert line_of_log.startswith("deleted the staging of run 'dead', which last wrote there at 20")


def test_the_run_tells_what_later_nights_are_compared_with(settings: Settings) -> None:
    warehouse = staged_run(settings, "run-1", 1)
    estimated = {"store_id": "0042", "till_id": "03", "estimate_status": "estimated", "photo_count": 1}
    transactions = (
        estimated | {"transaction_id": "t1", "estimated_age_years": 30.0, "under_18_probability": 0.01},
        estimated | {"transaction_id": "t2", "estimated_age_years": 40.0, "under_18_probability": 0.03},
        estimated | {"transaction_id": "t3", "estimate_status": "no_usable_photo"},
        estimated | {"transaction_id": "t4", "estimate_status": "no_photo", "photo_count": 0},
    )
    warehouse.stage_arrow(TRANSACTION_AGES, BUSINESS_DATE, arrow_rows(TRANSACTION_AGES, *transactions))
    warehouse.staging.mark_checked(BUSINESS_DATE, [])
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    figures = (
        "transaction_count, photographed_transaction_count, estimated_transaction_count, mean_estimated_age_years, "
        "mean_under_18_probability"
    )
    assert published(settings, f"SELECT {figures} FROM 'warehouse/pipeline_runs/*/*.parquet'") == [(4, 3, 2, 35, 0.02)]


def test_publishing_a_published_run_again_changes_nothing(settings: Settings) -> None:
    warehouse = staged_run(settings, "run-1", 1)
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert published(settings, LINES) == [("run-1", 1)]


def test_a_table_that_is_staged_again_after_the_check_is_not_published_unchecked(settings: Settings) -> None:
    warehouse = staged_run(settings, "run-1", 3)
    warehouse.stage_arrow(TRANSACTION_LINES, BUSINESS_DATE, arrow_rows(TRANSACTION_LINES, line()))
    with pytest.raises(InputError, match="run 'run-1' of 2026-11-20 has not passed check_night"):
        publish_night.run(warehouse, BUSINESS_DATE, settings)


def test_a_run_that_passed_no_check_is_not_published(settings: Settings) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "unchecked")
    with pytest.raises(InputError, match="run 'unchecked' of 2026-11-20 has not passed check_night"):
        publish_night.run(warehouse, BUSINESS_DATE, settings)
    assert not Path(settings.warehouse_uri.removeprefix("file://"), "transaction_lines").exists()


def test_the_digest_depends_on_keys_and_tags_and_not_on_the_batches_in_which_they_come() -> None:
    photos = pa.table({"photo_key": ["a", "b"], "etag": ["1", "2"]})
    changed = pa.table({"photo_key": ["a", "b"], "etag": ["1", "3"]})
    digests = [
        input_digest(photos.to_batches(), "r"),
        input_digest(changed.to_batches(), "r"),
        input_digest(photos.to_batches(), "other"),
    ]
    assert len(set(digests)) == 3
    assert input_digest(photos.to_batches(max_chunksize=1), "r") == digests[0]
    assert digests[0] == hashlib.sha256(b"a\0001\nb\0002\nr").hexdigest()


def test_the_input_of_a_night_is_digested_in_the_order_of_keys(settings: Settings) -> None:
    """The digest of published days would change if the staged photos were in another order, such as of letters."""
    warehouse = staged_run(settings, "run-1", 1)
    photos = [
        {"photo_key": key, "etag": key, "landed_at": None} for key in ("é", "b", "Z", "a", "\U0001f600", "\uffee")
    ]
    rows = pa.Table.from_pylist(photos, CHECKOUT_PHOTOS.schema_without("run_id"))
    warehouse.stage_arrow(CHECKOUT_PHOTOS, BUSINESS_DATE, rows)
    warehouse.staging.mark_checked(BUSINESS_DATE, [])
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    in_order = pa.RecordBatch.from_pylist(sorted(photos, key=lambda photo: str(photo["photo_key"]).encode()))
    receipts = receipts_digest(ObjectStore(settings.landing_uri), BUSINESS_DATE)
    expected = input_digest([in_order], receipts)
    assert published(settings, "SELECT input_digest FROM 'warehouse/pipeline_runs/*/*.parquet'") == [(expected,)]


def test_the_run_tells_how_many_photos_and_lines_it_had(settings: Settings) -> None:
    warehouse = staged_run(settings, "run-2", 3)
    own = {"estimate_status": "estimated", "content_sha256": "x", "inferred_run_id": "run-2"}
    photos = (
        own | {"photo_key": "a"},
        own | {"photo_key": "same content as a"},
        own | {"photo_key": "b", "content_sha256": "y", "estimate_status": "no_face"},
        own | {"photo_key": "not searched", "content_sha256": "z", "estimate_status": "truncated"},
        own | {"photo_key": "taken over", "content_sha256": "v", "inferred_run_id": "run-1"},
        {"photo_key": "of an older version", "estimate_status": "estimated"},
    )
    rejected = [{"source_file": "a.csv", "line_in_file": number} for number in (0, 7, 8)]
    warehouse.stage_arrow(PHOTO_AGE_ESTIMATES, BUSINESS_DATE, arrow_rows(PHOTO_AGE_ESTIMATES, *photos))
    warehouse.stage_arrow(REJECTED_TRANSACTION_LINES, BUSINESS_DATE, arrow_rows(REJECTED_TRANSACTION_LINES, *rejected))
    warehouse.staging.mark_checked(BUSINESS_DATE, [])
    publish_night.run(warehouse, BUSINESS_DATE, settings)
    of_photos = "landed_photo_count, estimated_photo_count, taken_over_photo_count, inferred_photo_count"
    query = f"SELECT {of_photos}, accepted_line_count, rejected_line_count FROM 'warehouse/pipeline_runs/*/*.parquet'"
    assert published(settings, query) == [(6, 4, 2, 2, 3, 2)]


def _die(*arguments: object) -> None:
    raise KeyboardInterrupt
