"""The DAGs of retention and erasure through Airflow, with real spark-submit."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from jobs.landing import SUCCESS, photos_folder, transactions_folder
from jobs.night import run_night
from jobs.object_store import ObjectStore
from jobs.settings import Settings, read_settings
from jobs.warehouse import Warehouse
from tests.airflow_runs import new_airflow, run_dag
from tests.jobs.test_erase import HEADER, OF_OTHERS, OF_THE_ERASED, photo_key
from tests.rows import BUSINESS_DATE

pytestmark = pytest.mark.slow

OLD = date(2026, 1, 1)


@pytest.fixture(scope="module")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A published day with a photo that is none, and photos of an old one."""
    folder = tmp_path_factory.mktemp("airflow-erasure")
    settings = read_settings({}, landing_uri=str(folder / "landing"), warehouse_uri=str(folder / "warehouse"))
    landing = ObjectStore(settings.landing_uri)
    landing.write(photo_key("10"), b"no photo")
    landing.write(f"{photos_folder(OLD)}/a.jpg", b"no photo")
    receipts = f"{HEADER}\n{OF_OTHERS}{OF_THE_ERASED}"
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/receipts.csv", receipts.encode())
    for day_folder in (photos_folder(BUSINESS_DATE), transactions_folder(BUSINESS_DATE)):
        landing.write(f"{day_folder}/{SUCCESS}", b"")
    night = Warehouse(ObjectStore(settings.warehouse_uri), "night", spark)
    run_night(night, BUSINESS_DATE, settings, lambda step, seconds: None)
    return settings


@pytest.fixture(scope="module")
def airflow(published: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return new_airflow(tmp_path_factory.mktemp("airflow"), published.landing_uri, published.warehouse_uri)


def test_retention_deletes_the_photos_of_old_days_only(published: Settings, airflow: dict[str, str]) -> None:
    done = run_dag(airflow, "checkout_ages_retention")
    assert done.returncode == 0, done.stdout[-5000:]
    landing = ObjectStore(published.landing_uri)
    assert [entry.key for entry in landing.list("photos") if entry.key.endswith(".jpg")] == [photo_key("10")]
    assert f"{OLD}: 1 photos deleted, 8 bytes" in done.stdout


def test_erasure_removes_the_person_and_shows_the_id_in_no_command(
    published: Settings, airflow: dict[str, str]
) -> None:
    done = run_dag(
        airflow, "checkout_ages_erasure", transaction_id="t2", till_id="03", business_date=str(BUSINESS_DATE)
    )
    assert done.returncode == 0, done.stdout[-5000:]
    warehouse = Path(published.warehouse_uri.removeprefix("file://"))
    lines = duckdb.sql(f"SELECT till_id, transaction_id FROM '{warehouse}/transaction_lines/*/*.parquet' ORDER BY ALL")
    assert lines.fetchall() == [("03", "t1"), ("03", "t3"), ("04", "t2")]
    assert len(list(warehouse.glob("_erased/*/*/proof.json"))) == 1
    assert not ObjectStore(published.landing_uri).exists(photo_key("10"))
    (command,) = (text for text in done.stdout.splitlines() if "Spark-Submit cmd" in text)
    assert "t2" not in command


def test_an_ambiguous_id_fails_at_once_and_names_the_candidates(airflow: dict[str, str]) -> None:
    done = run_dag(airflow, "checkout_ages_erasure", transaction_id="t9; touch /tmp/injected")
    assert done.returncode != 0
    assert "transaction 't9; touch /tmp/injected' is not in the tables of the 1 published days" in done.stdout
    assert "bad input or configuration" in done.stdout or "Error code is: 2" in done.stdout
