from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = DOCKER / "compose.yaml"
BIN = Path(sys.prefix, "bin")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_the_file_is_as_the_compose_specification_says() -> None:
    check = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_services_are_those_of_a_night(services: dict[str, Any]) -> None:
    assert set(services) == {
        *("postgres", "object-store", "sample-day", "spark-master", "spark-worker-1", "spark-worker-2"),
        *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
    }


def test_nothing_is_open_to_other_machines(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_executors_are_given_the_object_store_and_nothing_else(services: dict[str, Any]) -> None:
    for worker in ("spark-worker-1", "spark-worker-2"):
        assert "volumes" not in services[worker]
        assert {name.split("_")[0] for name in services[worker]["environment"]} == {"AWS", "SPARK"}


def test_a_secret_that_is_not_set_stops_it_and_none_has_a_default() -> None:
    asked = dict(re.findall(r"\$\{(\w+)(:[?-])", COMPOSE.read_text()))
    optional = {"AIRFLOW_CONN_CHECKOUT_AGES_ALERTS", "CHECKOUT_AGES_NIGHT_DEADLINE_SECONDS"}
    assert {name for name, form in asked.items() if form == ":-"} == {"AIRFLOW_PORT", "S3_PORT"} | optional
    assert {name for name, form in asked.items() if form == ":?"} == secret_names()


def test_secrets_are_made_once_and_differ_from_one_another(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets"
    script.write_text((DOCKER / "make-secrets").read_text())
    for _ in range(2):
        subprocess.run([sys.executable, script], check=True, capture_output=True)
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert made.keys() == secret_names()
    assert len(set(made.values())) == len(made)
    assert min(map(len, made.values())) >= 32
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def secret_names() -> set[str]:
    return {
        *("AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_API_SECRET_KEY", "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD"),
    }
