from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import app
from jobs.operations import doctor
from jobs.operations.doctor import CHECKS, Finding, findings, worker_words
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from tests.servers.s3_server import S3_ENVIRONMENT

CHECK_NAMES = [name for name, _, _ in CHECKS]
SPARK_CONNECTION = {
    "conn_type": "spark",
    "host": "spark://somebody:hidden-password@master:7077",
    "login": "somebody",
    "password": "hidden-password",
}
runner = CliRunner()


def finding(monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str) -> Finding:
    """What one check finds."""
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "CHECKS", [check for check in CHECKS if check[0] == name])
        (found,) = findings(settings)
    return found


@pytest.fixture
def no_airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRFLOW_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("spark", "no_airflow")
def test_a_machine_that_can_run_the_night_passes_every_check_and_keeps_no_trace(settings: Settings) -> None:
    arguments = ["--landing-uri", settings.landing_uri, "--warehouse-uri", settings.warehouse_uri]
    shown = runner.invoke(app, ["doctor", "--format", "json", *arguments])
    found = {each["check"]: each for each in json.loads(shown.stdout)}
    assert (shown.exit_code, list(found)) == (0, CHECK_NAMES)
    assert {name for name, each in found.items() if each["status"] != "ok"} == {"airflow"}
    assert "`checkout-ages night` works without" in found["airflow"]["found"]
    assert "openvino" in found["workers"]["found"]
    assert not list(Path(settings.warehouse_uri.removeprefix("file://")).iterdir())


@pytest.mark.usefixtures("no_airflow")
def test_a_machine_that_cannot_exits_with_1_says_how_to_mend_it_and_shows_no_credentials(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CHECKOUT_AGES_MODEL_VERSION", "age_resnet50-99")
    arguments = ["--landing-uri", "s3://in/landing", "--warehouse-uri", "s3://out/warehouse"]
    shown = runner.invoke(app, ["doctor", *arguments], env={"COLUMNS": "200"})
    assert shown.exit_code == 1
    words = " ".join(shown.stdout.replace("│", " ").split())
    assert words.count("unknown model version 'age_resnet50-99'") == 2
    assert words.count("fails object store 's3://") == 3
    assert "to fix it, set PYSPARK_PYTHON" in words
    assert S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in shown.output


def test_bad_configuration_exits_with_2() -> None:
    refused = runner.invoke(app, ["doctor", "--warehouse-uri", "/w"])
    assert (refused.exit_code, "no landing uri" in refused.stderr) == (2, True)


def test_a_store_that_lets_two_create_the_same_object_is_found_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectStore, "create", lambda store, key, data: store.write(key, data) or True)
    found = finding(monkeypatch, settings, "warehouse")
    assert (found.status, "two runs could publish a day at once" in found.found) == ("fails", True)


@pytest.mark.parametrize(("seconds", "status"), [(-90, "fails"), (-20, "ok"), (20, "ok"), (90, "fails")])
def test_a_clock_that_is_off_by_more_than_half_a_minute_is_found_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, seconds: int, status: str
) -> None:
    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(seconds=seconds)

    monkeypatch.setattr(doctor, "datetime", WrongClock)
    found = finding(monkeypatch, settings, "clock")
    assert found.status == status
    assert status == "ok" or f"the object store's clock is {seconds:+d} s from this machine's" in found.found


def test_a_full_disk_is_found_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**60)
    found = finding(monkeypatch, settings, "disk")
    assert (found.status, found.fix.startswith("free some space")) == ("fails", True)


@pytest.mark.slow
def test_the_connection_of_airflow_is_named_without_its_password(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps(SPARK_CONNECTION))
    found = finding(monkeypatch, settings, "airflow")
    assert found == Finding("airflow", "ok", "connection spark_default: spark, master:7077", "")


@pytest.mark.slow
def test_a_store_on_s3_is_found_writable_and_its_clock_right(
    settings: Settings, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_s3 = settings.model_copy(update={"warehouse_uri": f"{s3_bucket}/doctored"})
    assert [finding(monkeypatch, on_s3, name).status for name in ("warehouse", "clock")] == ["ok", "ok"]
    assert not list(ObjectStore(on_s3.warehouse_uri).list())


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_processor_without_8_bit_dot_products_is_told_of(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, is_slow: bool
) -> None:
    monkeypatch.setattr(doctor, "computes_int8_as_floats", lambda engine: is_slow)
    assert ("(VNNI), so estimates take twice the time" in worker_words(settings)) == is_slow
