"""Checks of the images that need no build; `make docker-test` builds them and runs a night."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
BIN = Path(sys.prefix, "bin")
INFERENCE_ALONE = ("tensorflow", "keras", "openvino", "simplejpeg", "PIL")
IMPORT_THE_DRIVER = f"""
import sys
sys.modules.update(dict.fromkeys({INFERENCE_ALONE}))  # importing one of them raises ImportError
from jobs import cli
from jobs.ages.age_inference import check_model
from jobs.ages.shift_calibration import shift_calibration
from jobs.settings import read_settings
from jobs.steps.order import EVERY_STEP, FINISH_BACKFILL, REPORT, RESTATE_REPORTS, module_of
for step in set(EVERY_STEP) - {{FINISH_BACKFILL, REPORT, RESTATE_REPORTS}}:
    module_of(step)
settings = read_settings({{}}, landing_uri="file:///landing", warehouse_uri="file:///warehouse")
check_model(settings.model_version, settings.inference_engine)
shift_calibration(settings.model_version)
"""


def pinned(lock: Path) -> dict[str, str]:
    """Return the packages of a lock and their versions."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("image", ["airflow", "spark"])
def test_an_image_has_the_versions_of_the_main_lock(image: str) -> None:
    main = pinned(REPOSITORY / "requirements.lock")
    packages = pinned(DOCKER / f"{image}.lock")
    assert len(packages) > 10
    assert packages.items() <= main.items()


def test_the_driver_and_the_executors_have_the_same_pyspark_and_what_udfs_exchange() -> None:
    airflow, spark = pinned(DOCKER / "airflow.lock"), pinned(DOCKER / "spark.lock")
    shared = {"pyspark", "py4j", "pandas", "pyarrow", "numpy", "obstore", "pydantic"}
    assert {name: airflow[name] for name in shared} == {name: spark[name] for name in shared}


def test_no_image_holds_tensorflow_and_airflows_has_no_engine_at_all() -> None:
    airflow, spark = pinned(DOCKER / "airflow.lock"), pinned(DOCKER / "spark.lock")
    assert not {"tensorflow", "keras"} & (airflow.keys() | spark.keys())
    assert "openvino" in spark
    assert "openvino" not in airflow


def test_the_driver_runs_without_the_packages_of_inference() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_THE_DRIVER], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dockerfile", sorted(DOCKER.glob("*.Dockerfile")), ids=lambda path: str(path.name))
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    done = subprocess.run(
        [BIN / "hadolint", "--config", DOCKER / "hadolint.yaml", dockerfile], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("dockerfile", sorted(DOCKER.glob("*.Dockerfile")), ids=lambda path: str(path.name))
def test_every_stage_that_runs_has_a_user_other_than_root_and_a_health_check(dockerfile: Path) -> None:
    stages = re.split(r"^FROM ", dockerfile.read_text(), flags=re.MULTILINE)[1:]
    running = [stage for stage in stages if "ENTRYPOINT" in stage]
    assert running
    assert all("HEALTHCHECK" in stage for stage in running)
    assert all(re.findall(r"^USER (.*)", stage, re.MULTILINE) == ["10001"] for stage in running)


@pytest.mark.parametrize("script", ["start-airflow", "start-postgres", "checkout-ages"])
def test_scripts_are_shell(script: str) -> None:
    subprocess.run(["sh", "-n", DOCKER / script], check=True)
