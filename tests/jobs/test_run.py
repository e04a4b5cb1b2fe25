import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE


def run_step(step: str, environment: dict[str, str], run_id: str = "test-run") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.run", step, "--business-date", str(BUSINESS_DATE), "--run-id", run_id]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHECKOUT_AGES_")}
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False)


def uris(folder: Path) -> dict[str, str]:
    return {"CHECKOUT_AGES_LANDING_URI": str(folder / "in"), "CHECKOUT_AGES_WAREHOUSE_URI": str(folder / "out")}


def test_waiting_for_a_day_exits_with_75_until_it_has_landed(tmp_path: Path) -> None:
    waiting = run_step("wait_for_business_date", uris(tmp_path))
    assert waiting.returncode == 75
    assert f"missing file://{tmp_path}/in/photos/business_date=2026-11-20/_SUCCESS and file://" in waiting.stderr
    for kind in ("photos", "transactions"):
        ObjectStore((tmp_path / "in").as_uri()).write(f"{kind}/business_date={BUSINESS_DATE}/_SUCCESS", b"")
    assert run_step("wait_for_business_date", uris(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("step", "environment", "sentence"),
    [
        ("check_night", {}, "error: no landing uri: set CHECKOUT_AGES_LANDING_URI or pass --landing-uri"),
        ("check_night", {"CHECKOUT_AGES_SPARK": "x"}, "error: unknown setting CHECKOUT_AGES_SPARK"),
        (
            "check_night",
            {"CHECKOUT_AGES_LANDING_URI": "/in", "CHECKOUT_AGES_WAREHOUSE_URI": "ftp://out"},
            "error: 'ftp://out' has a scheme that is not supported; begin it with file:///, s3:// or gs://",
        ),
    ],
)
def test_bad_configuration_exits_with_2_and_one_sentence(step: str, environment: dict[str, str], sentence: str) -> None:
    refused = run_step(step, environment)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith(sentence)


def test_a_check_of_a_run_that_staged_nothing_says_what_to_run_first(tmp_path: Path) -> None:
    refused = run_step("check_night", uris(tmp_path))
    assert refused.returncode == 2
    assert "table 'checkout_photos' of run 'test-run' is not staged; run its task first" in refused.stderr


def test_a_run_id_that_could_leave_its_folder_is_refused(tmp_path: Path) -> None:
    refused = run_step("check_night", uris(tmp_path), run_id="../other")
    assert refused.returncode == 2
    assert "run id '../other' may contain letters, digits" in refused.stderr


def test_a_day_that_another_process_publishes_exits_with_1_and_one_sentence_so_that_airflow_tries_again(
    tmp_path: Path,
) -> None:
    with Warehouse(ObjectStore((tmp_path / "out").as_uri()), "other-run").runs.lock(BUSINESS_DATE, 240):
        refused = run_step("publish_night", uris(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("error: business date 2026-11-20 is being published by run 'other-run' (process ")


def test_a_store_that_does_not_answer_exits_with_1_so_that_it_is_tried_again(tmp_path: Path) -> None:
    environment = uris(tmp_path) | {
        "CHECKOUT_AGES_WAREHOUSE_URI": "s3://out/w",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    failed = run_step("check_night", environment)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert failed.stderr.startswith("error: object store 's3://out/w' cannot be reached at 'http://127.0.0.1:9' for '")


@pytest.mark.slow
def test_refused_credentials_exit_with_2_and_are_not_shown(tmp_path: Path, s3_bucket: str) -> None:
    environment = uris(tmp_path) | {
        "CHECKOUT_AGES_WAREHOUSE_URI": f"{s3_bucket}/w",
        "AWS_SECRET_ACCESS_KEY": "planted-secret",
    }
    refused = run_step("check_night", environment)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith(f"error: object store '{s3_bucket}/w' refused the credentials; check AWS_ACCESS")
    assert "planted-secret" not in refused.stderr
