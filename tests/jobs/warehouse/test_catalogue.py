from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from jobs.schemas.buyers import AGE_GROUP_PURCHASES
from jobs.schemas.dictionary import TABLES
from jobs.schemas.landed import PHOTO_COVERAGE
from jobs.schemas.runs import MODEL_COMPARISON
from jobs.schemas.table import BUSINESS_DATE as BUSINESS_DATE_COLUMN
from jobs.schemas.table import meaning
from jobs.settings import Settings
from jobs.steps import publish_night
from jobs.warehouse.catalogue import CATALOGUE, write_catalogue
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.catalogued_tables import DAY_BEFORE, covered, publish
from tests.given.rows import BUSINESS_DATE
from tests.given.staged_runs import staged_run
from tests.servers.duckdb_s3 import connect_over_s3
from tests.servers.s3_server import S3_ENVIRONMENT


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """Two days of photo_coverage, in a folder whose name holds what DuckDB takes for a pattern."""
    store = ObjectStore((tmp_path / "ware house [1]").as_uri())
    publish(store, PHOTO_COVERAGE, DAY_BEFORE, covered("0042", 3))
    publish(store, PHOTO_COVERAGE, BUSINESS_DATE, covered("0042", 4))
    return store


def opened(store: ObjectStore, folder: Path) -> duckdb.DuckDBPyConnection:
    """The catalogue as an analyst opens it, from some other folder."""
    copy = folder / "copy.duckdb"
    copy.write_bytes(store.read(CATALOGUE))
    return duckdb.connect(copy, read_only=True)


def test_a_view_holds_all_days_of_a_table_and_its_date(store: ObjectStore, tmp_path: Path) -> None:
    write_catalogue(store)
    with opened(store, tmp_path) as connection:
        rows = connection.sql(
            "SELECT business_date::VARCHAR, store_id, transaction_count FROM photo_coverage ORDER BY ALL"
        )
        assert rows.fetchall() == [("2026-11-19", "0042", 3), ("2026-11-20", "0042", 4)]


def test_a_query_of_one_day_opens_the_file_of_that_day_only(store: ObjectStore, tmp_path: Path) -> None:
    write_catalogue(store)
    with opened(store, tmp_path) as connection:
        plan = connection.sql("EXPLAIN FROM photo_coverage WHERE business_date = '2026-11-20'").fetchall()[0][1]
    assert "Scanning Files: 1/2" in plan


def test_a_table_without_a_file_is_a_view_without_rows_and_fills_with_the_first_one(
    store: ObjectStore, tmp_path: Path
) -> None:
    write_catalogue(store)
    with opened(store, tmp_path) as connection:
        assert connection.sql("SELECT store_id, currency FROM age_group_purchases").fetchall() == []
    publish(store, AGE_GROUP_PURCHASES, BUSINESS_DATE, {"store_id": "0042"})
    assert write_catalogue(store)
    with opened(store, tmp_path) as connection:
        assert connection.sql("SELECT store_id, currency FROM age_group_purchases").fetchall() == [("0042", None)]


def test_every_table_and_column_is_there_in_order_and_says_what_it_means(store: ObjectStore, tmp_path: Path) -> None:
    write_catalogue(store)
    with opened(store, tmp_path) as connection:
        views = connection.sql("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall()
        columns = connection.sql("""
            SELECT table_name, column_name, comment FROM duckdb_columns()
            WHERE schema_name = 'main' AND NOT internal ORDER BY table_name, column_index""").fetchall()
    assert {name: comment.partition(";")[0] for name, comment in views} == {
        table.name: table.grain.partition(";")[0] for table in TABLES
    }
    assert columns == [
        (table.name, field.name, meaning(field))
        for table in sorted(TABLES, key=lambda table: table.name)
        for field in (BUSINESS_DATE_COLUMN, *table.columns)
    ]


def test_a_day_that_was_written_before_a_table_had_a_column_shows_it_as_null(
    store: ObjectStore, tmp_path: Path
) -> None:
    root = Path(store.uri.removeprefix("file://").replace("%20", " ").replace("%5B", "[").replace("%5D", "]"))
    for day, columns in ((DAY_BEFORE, "'0042' AS store_id"), (BUSINESS_DATE, "'0042' AS store_id, 5 AS a_later_one")):
        file = root / f"photo_coverage/business_date={day}/part-0.parquet"
        duckdb.sql(f"COPY (SELECT {columns}) TO '{file}'")
    write_catalogue(store)
    with opened(store, tmp_path) as connection:
        rows = connection.sql("SELECT store_id, transaction_count FROM photo_coverage").fetchall()
    assert rows == [("0042", None), ("0042", None)]


def test_a_comparison_with_another_model_is_found_below_rescored(store: ObjectStore, tmp_path: Path) -> None:
    rescored = Warehouse(store, "run-1").rescored("age_resnet50-3").store
    publish(rescored, MODEL_COMPARISON, BUSINESS_DATE, {"measure": "age_group", "value": "18-24"})
    write_catalogue(store)
    with opened(store, tmp_path) as connection:
        assert connection.sql("SELECT measure, value FROM model_comparison").fetchall() == [("age_group", "18-24")]


def test_the_catalogue_is_replaced_only_when_it_would_differ(store: ObjectStore, tmp_path: Path) -> None:
    assert [write_catalogue(store), write_catalogue(store)] == [True, False]
    store.write(CATALOGUE, b"no database")
    assert write_catalogue(store)
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "ware house [1]", moved)
    assert write_catalogue(ObjectStore(moved.as_uri()))


def test_a_published_night_brings_the_catalogue_up_to_date(settings: Settings, tmp_path: Path) -> None:
    publish_night.run(staged_run(settings, "run-1", 3), BUSINESS_DATE, settings)
    with opened(ObjectStore(settings.warehouse_uri), tmp_path) as connection:
        assert connection.sql("SELECT run_id, count(*) FROM transaction_lines GROUP BY ALL").fetchall() == [
            ("run-1", 3)
        ]


def test_a_catalogue_that_cannot_be_written_is_told_and_undoes_no_published_night(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    broken = ObjectStore(settings.warehouse_uri)
    broken.write(f"photo_coverage/business_date={DAY_BEFORE}/part-0.parquet", b"no Parquet")
    publish_night.run(staged_run(settings, "run-1", 3), BUSINESS_DATE, settings)
    assert Warehouse(broken, "run-1").runs.has_own(BUSINESS_DATE)
    assert not broken.exists(CATALOGUE)
    assert "catalog.duckdb is left as it was, although the tables are published: " in caplog.text
    assert "`checkout-ages catalogue`" in caplog.text


@pytest.mark.slow
def test_on_s3_it_is_attached_where_it_lies_and_holds_no_credentials(s3_bucket: str) -> None:
    store = ObjectStore(f"{s3_bucket}/catalogued")
    publish(store, PHOTO_COVERAGE, BUSINESS_DATE, covered("0042", 4))
    write_catalogue(store)
    with connect_over_s3() as connection:
        connection.sql(f"ATTACH '{store.location(CATALOGUE)}' AS warehouse (READ_ONLY)")
        assert connection.sql("SELECT store_id FROM warehouse.photo_coverage").fetchall() == [("0042",)]
    content = store.read(CATALOGUE)
    secrets = (S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"], S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"])
    assert b"photo_coverage" in content
    assert not [secret for secret in secrets if secret.encode() in content]
