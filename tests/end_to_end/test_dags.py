"""The DAGs through Airflow, with real spark-submit, one after the other on a sample day."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import pytest

from jobs.landing.deliveries import photos_folder
from jobs.operations.sample_day.sample_day import write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.buyers import AGE_GROUP_PURCHASES
from jobs.schemas.dictionary import (
    NIGHT_TABLES,
    PUBLISHED_TABLES,
    PUBLISHED_WINDOW_TABLES,
    TABLES_OF_A_RUN,
)
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.warehouse.object_store import ObjectStore
from tests.given.landed_days import land_small_day
from tests.servers.airflow_runs import asset_events, complaints, new_airflow, run_dag
from tests.servers.s3_server import S3_ENVIRONMENT

pytestmark = pytest.mark.slow

BUSINESS_DATE = date(2026, 11, 20)
NEXT_DATE = date(2026, 11, 21)
OLD = date(2026, 1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow-night")


@pytest.fixture(scope="module")
def airflow(folder: Path) -> dict[str, str]:
    return new_airflow(folder / "airflow", (folder / "landing").as_uri(), (folder / "warehouse").as_uri())


@pytest.fixture(scope="module")
def warehouse(folder: Path, airflow: dict[str, str]) -> Path:
    """The warehouse of a business date that was landed and run."""
    landing = ObjectStore((folder / "landing").as_uri())
    write_sample_day(landing, BUSINESS_DATE, synthetic_face_photos(), "synthetic", 1, "Europe/Moscow")
    night = run_dag(airflow, "checkout_ages_nightly", business_date=str(BUSINESS_DATE))
    assert night.returncode == 0, complaints(night)
    return folder / "warehouse"


def test_a_night_publishes_one_file_of_each_table_for_its_date_and_leaves_no_staging(warehouse: Path) -> None:
    published = {path.parent.relative_to(warehouse).as_posix() for path in warehouse.rglob("*.parquet")}
    assert published == {f"{table.name}/business_date={BUSINESS_DATE}" for table in TABLES_OF_A_RUN}


def test_the_run_is_on_record_with_the_first_try_of_each_table(warehouse: Path) -> None:
    tries = duckdb.sql(f"SELECT unnest(map_entries(table_tries)) FROM '{warehouse}/pipeline_runs/*/*.parquet'")
    assert tries.fetchall() == [({"key": table.name, "value": 1},) for table in NIGHT_TABLES]


def test_events_tell_who_waits_for_the_day_or_a_table_its_rows_and_where_the_report_lies(
    airflow: dict[str, str], warehouse: Path
) -> None:
    told = asset_events(airflow)
    day = told.pop("checkout_ages_published_day")
    assert set(told) == {f"checkout_ages_{table.name}" for table in PUBLISHED_TABLES}
    lines = duckdb.sql(
        f"SELECT any_value(run_id), count(*) FROM '{warehouse}/transaction_lines/*/*.parquet'"
    ).fetchone()
    of_lines = told["checkout_ages_transaction_lines"]
    assert (of_lines["run_id"], of_lines["row_count"]) == lines
    assert day["row_counts"]["transaction_lines"] == of_lines["row_count"]
    assert day["report"] == f"{warehouse.as_uri()}/reports/business_date={BUSINESS_DATE}/index.html"


def test_the_task_of_the_report_links_to_the_page(folder: Path, warehouse: Path) -> None:
    with closing(sqlite3.connect(folder / "airflow" / "airflow.db")) as connection:
        ((link,),) = connection.execute("SELECT value FROM xcom WHERE key = '_link_ReportLink'").fetchall()
    assert json.loads(link) == f"{warehouse.as_uri()}/reports/business_date={BUSINESS_DATE}/index.html"


def test_groups_add_up_to_the_log_and_each_photo_is_a_row(folder: Path, warehouse: Path) -> None:
    purchases, lines, estimates = (
        f"'{warehouse}/{table.name}/business_date={BUSINESS_DATE}/*.parquet'"
        for table in (AGE_GROUP_PURCHASES, TRANSACTION_LINES, PHOTO_AGE_ESTIMATES)
    )
    summed = duckdb.sql(f"SELECT sum(line_count), sum(quantity), sum(net_amount) FROM {purchases}").fetchone()
    logged = duckdb.sql(f"SELECT count(*), sum(quantity), sum(net_amount) FROM {lines}").fetchone()
    estimated = duckdb.sql(f"SELECT count(*) FROM {estimates}").fetchone()
    photos = [path for path in (folder / f"landing/photos/business_date={BUSINESS_DATE}").rglob("*") if path.is_file()]
    assert summed == logged
    assert estimated == (sum(path.name != "_SUCCESS" for path in photos),)


def test_a_day_that_does_not_land_fails_naming_the_missing_mark_with_credentials_that_no_log_shows(
    airflow: dict[str, str], s3_bucket: str
) -> None:
    connection = {
        "conn_type": "aws",
        "login": S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        "password": S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        "extra": {
            "endpoint_url": S3_ENVIRONMENT["AWS_ENDPOINT_URL"],
            "region_name": S3_ENVIRONMENT["AWS_REGION"],
        },
    }
    variables = {
        "AIRFLOW_CONN_CHECKOUT_AGES_OBJECT_STORE": json.dumps(connection),
        "CHECKOUT_AGES_LANDING_URI": f"{s3_bucket}/nothing-landed",
        "CHECKOUT_AGES_LANDING_TIMEOUT_SECONDS": "4",
    }
    night = run_dag(airflow | variables, "checkout_ages_nightly", business_date="2026-01-01")
    assert night.returncode != 0
    assert f"missing {s3_bucket}/nothing-landed/photos/business_date=2026-01-01/_SUCCESS" in night.stdout
    assert "AirflowSensorTimeout" in night.stdout
    assert S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in night.stdout


def test_the_second_dag_publishes_the_window_of_the_day_and_tells_who_waits_for_its_tables(
    airflow: dict[str, str], warehouse: Path
) -> None:
    window = run_dag(airflow, "cashier_alcohol_window", business_date=str(BUSINESS_DATE))
    assert window.returncode == 0, complaints(window)
    day = f"business_date={BUSINESS_DATE}"
    assert all((warehouse / table.name / day / "part-0.parquet").exists() for table in PUBLISHED_WINDOW_TABLES)
    assert not list(warehouse.glob("_staging/**/*.parquet"))
    audit = f"'{warehouse}/cashier_alcohol_audit/*/*.parquet'"
    row_count, run_id = duckdb.sql(f"SELECT count(*), any_value(run_id) FROM {audit}").fetchone() or (0, "")
    told = asset_events(airflow)["checkout_ages_cashier_alcohol_audit"]
    assert (told["row_count"], told["run_id"], told["business_date"]) == (row_count, run_id, str(BUSINESS_DATE))
    assert row_count > 0
    assert run_id.startswith("window-manual__")


def test_a_backfill_of_two_applications_publishes_what_the_night_published_and_each_table_of_each_day_has_an_event(
    folder: Path, airflow: dict[str, str], warehouse: Path
) -> None:
    land_small_day(ObjectStore((folder / "landing").as_uri()), NEXT_DATE)
    own = folder / "backfilled"
    backfill = run_dag(
        airflow | {"CHECKOUT_AGES_WAREHOUSE_URI": own.as_uri()},
        "checkout_ages_backfill",
        from_date=str(BUSINESS_DATE),
        to_date=str(NEXT_DATE),
        days_per_application=1,
        run_id="months",
    )
    assert backfill.returncode == 0, complaints(backfill)
    assert "published: 2 days" in backfill.stdout
    digests = (
        "SELECT table_digests FROM read_parquet('{}/pipeline_runs/*/*.parquet') WHERE business_date = '2026-11-20'"
    )
    assert duckdb.sql(digests.format(own)).fetchall() == duckdb.sql(digests.format(warehouse)).fetchall()
    assert not list(own.glob("_staging/**/*.json"))
    pages = {path.parent.name for path in own.glob("reports/*/index.html")}
    assert pages == {f"business_date={day}" for day in (BUSINESS_DATE, NEXT_DATE)}
    windows = duckdb.sql(f"SELECT DISTINCT run_id FROM '{own}/cashier_alcohol_audit/*/*.parquet'").fetchall()
    assert windows == [("months-windows",)]
    told = asset_events(airflow)["checkout_ages_age_mixes"]
    assert (told["business_date"], told["run_id"]) == (str(NEXT_DATE), "months")


def test_retention_deletes_the_photos_of_old_days_only(folder: Path, airflow: dict[str, str], warehouse: Path) -> None:
    landing = ObjectStore((folder / "landing").as_uri())
    kept = [entry.key for entry in landing.list("photos") if entry.key.endswith(".jpg")]
    landing.write(f"{photos_folder(OLD)}/a.jpg", b"no photo")
    done = run_dag(airflow, "checkout_ages_retention", as_of=str(BUSINESS_DATE))
    assert done.returncode == 0, complaints(done)
    assert [entry.key for entry in landing.list("photos") if entry.key.endswith(".jpg")] == kept
    assert f"{OLD}: 1 photos deleted, 8 bytes" in done.stdout


def test_erasure_removes_the_person_and_shows_the_id_in_no_command(
    folder: Path, airflow: dict[str, str], warehouse: Path
) -> None:
    buyers = f"'{warehouse}/transaction_ages/*/*.parquet'"
    lines = f"'{warehouse}/transaction_lines/*/*.parquet'"
    store_id, till_id, transaction_id, (photo_key,) = duckdb.sql(
        f"SELECT store_id, till_id, transaction_id, photo_keys FROM {buyers} WHERE photo_count = 1 ORDER BY ALL LIMIT 1"
    ).fetchall()[0]
    own, of_others = duckdb.sql(
        f"SELECT count(*) FILTER (transaction_id = '{transaction_id}'), count(*) FILTER (transaction_id <> "
        f"'{transaction_id}') FROM {lines}"
    ).fetchall()[0]
    done = run_dag(
        airflow,
        "checkout_ages_erasure",
        transaction_id=transaction_id,
        store_id=store_id,
        till_id=till_id,
        business_date=str(BUSINESS_DATE),
    )
    assert done.returncode == 0, complaints(done)
    assert own > 0
    left = duckdb.sql(f"SELECT count(*), count(*) FILTER (transaction_id = '{transaction_id}') FROM {lines}")
    assert left.fetchall() == [(of_others, 0)]
    assert len(list(warehouse.glob("_erased/*/*/proof.json"))) == 1
    assert not ObjectStore((folder / "landing").as_uri()).exists(photo_key)
    (command,) = (text for text in done.stdout.splitlines() if "Spark-Submit cmd" in text)
    assert transaction_id not in command


def test_an_ambiguous_id_fails_at_once_and_names_the_candidates(airflow: dict[str, str], warehouse: Path) -> None:
    done = run_dag(airflow, "checkout_ages_erasure", transaction_id="t9; touch /tmp/injected")
    assert done.returncode != 0
    assert "transaction 't9; touch /tmp/injected' is not in the tables of the 1 published days" in done.stdout
    assert "bad input or configuration" in done.stdout or "Error code is: 2" in done.stdout
