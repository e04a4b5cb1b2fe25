"""Nights on a standalone Spark cluster of machines that share only an S3 server."""

from __future__ import annotations

import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.settings import read_settings
from jobs.steps.order import run_night
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at
from tests.servers.s3_server import S3_ENVIRONMENT
from tests.servers.spark_cluster import REPOSITORY, Cluster, running_cluster

pytestmark = pytest.mark.slow

RUN_PY, CLI_PY = REPOSITORY / "jobs" / "run.py", REPOSITORY / "jobs" / "cli.py"
NIGHT = ["night", "--business-date", str(BUSINESS_DATE)]
PHOTO_COUNT = 520
"""This makes four tasks on two slots: two are running when the first two have ended."""
FACE_COUNT = 12
TILLS = 4
SECONDS = 600
PROPERTIES = {
    "spark.pyspark.python": "python3",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.cores.max": "2",
}
TWO_THREADS_A_TASK = {"spark.task.cpus": "2", "spark.executor.cores": "2", "spark.cores.max": "4"}
EVENT_LOG = {"spark.eventLog.enabled": "true", "spark.eventLog.compress": "false"}
SPECULATING = {
    "spark.speculation": "true",
    "spark.speculation.interval": "50ms",
    "spark.speculation.minTaskRuntime": "50ms",
    "spark.speculation.task.duration.threshold": "100ms",
}
"""With these, a stage of one task, such as one that writes a table, gets a second, speculative task after 0.1 s."""


@pytest.fixture(scope="module")
def landing_uri(s3_bucket: str) -> str:
    """A day with one photo per receipt, all distinct."""
    landing = ObjectStore(f"{s3_bucket}/cluster/landing")
    ages = [16 + 5 * number for number in range(FACE_COUNT)]
    faces = [face.content for face in synthetic_face_photos()(ages, list(range(FACE_COUNT)), 1)]
    lines = []
    for number in range(PHOTO_COUNT):
        till_id, closed_at = f"{number % TILLS:02}", at("06:01:00") + timedelta(minutes=3 * (number // TILLS))
        key = f"store_id=0042/till_id={till_id}/{closed_at - timedelta(seconds=20):%Y%m%dT%H%M%S.000Z}.jpg"
        content = faces[number % FACE_COUNT] + number.to_bytes(2) if number else b""
        landing.write(f"{photos_folder(BUSINESS_DATE)}/{key}", content)
        lines += [json.dumps(receipt_line(number, till_id, closed_at.isoformat(), line)) for line in (1, 2)]
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/lines.jsonl", "\n".join(lines).encode())
    for folder in (photos_folder, transactions_folder):
        landing.write(f"{folder(BUSINESS_DATE)}/{SUCCESS}", b"")
    return landing.uri


def receipt_line(number: int, till_id: str, closed_at: str, line: int) -> dict[str, object]:
    return {
        "transaction_id": f"t{number:04}",
        "store_id": "0042",
        "till_id": till_id,
        "cashier_id": f"c{number % 7}",
        "closed_at": closed_at,
        "line_number": line,
        "line_type": "sale",
        "sku": f"s{line}",
        "product_category": ("WINE", "MILK", "BREAD")[(number + line) % 3],
        "quantity": "1",
        "net_amount": "2.50" if number % 50 else "much",
        "currency": "USD",
        "is_alcohol": (number + line) % 3 == 0,
        "id_check": "not_asked" if (number + line) % 3 == 0 else None,
    }


@pytest.fixture(scope="module")
def local_tables(landing_uri: str, s3_bucket: str, spark: SparkSession) -> dict[str, str]:
    """The digest of each table after a night with local[*]."""
    settings = read_settings({}, landing_uri=landing_uri, warehouse_uri=f"{s3_bucket}/cluster/local")
    run_night(Warehouse(ObjectStore(settings.warehouse_uri), "local", spark), BUSINESS_DATE, settings, lambda *_: None)
    return published_tables(settings.warehouse_uri)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), 2, 2, S3_ENVIRONMENT) as cluster:
        yield cluster


@pytest.fixture
def other_code_on_machines(cluster: Cluster) -> Iterator[None]:
    """Install another version on the machines than on the driver."""
    installed = [machine.packages / "jobs" / "run.py" for machine in cluster.machines]
    for path in installed:
        path.write_text("raise SystemExit('an old version')\n")
    yield
    for path in installed:
        path.write_text(RUN_PY.read_text())


def published_tables(warehouse_uri: str) -> dict[str, str]:
    """Return the digest of each table of the published run."""
    run = Warehouse(ObjectStore(warehouse_uri), "reader").runs.published(BUSINESS_DATE)
    assert run is not None
    return dict(run["table_digests"])


def step(name: str, run_id: str) -> list[str]:
    return [name, "--business-date", str(BUSINESS_DATE), "--run-id", run_id]


def told(process: subprocess.Popen[str]) -> str:
    """Return the output of a process that must end with exit code 0."""
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said[-5000:]
    return said


def where(landing_uri: str, warehouse_uri: str) -> dict[str, str]:
    return {"CHECKOUT_AGES_LANDING_URI": landing_uri, "CHECKOUT_AGES_WAREHOUSE_URI": warehouse_uri}


def test_a_night_on_machines_that_share_s3_alone_says_what_the_local_night_says(
    cluster: Cluster, landing_uri: str, s3_bucket: str, local_tables: Mapping[str, str]
) -> None:
    warehouse_uri = f"{s3_bucket}/cluster/installed"
    told(cluster.submit(CLI_PY, NIGHT, PROPERTIES, where(landing_uri, warehouse_uri)))
    assert published_tables(warehouse_uri) == local_tables
    for machine in cluster.machines:
        assert list((machine.folder / "work").glob("app-*/*/stderr"))


@pytest.mark.usefixtures("other_code_on_machines")
def test_a_machine_with_another_version_of_the_code_is_refused(
    cluster: Cluster, landing_uri: str, s3_bucket: str
) -> None:
    variables = where(landing_uri, f"{s3_bucket}/cluster/refused")
    refused = cluster.submit(RUN_PY, step("transaction_lines", "refused"), PROPERTIES, variables)
    said, _ = refused.communicate(timeout=SECONDS)
    assert refused.returncode == 2
    assert "has other code of this project" in said.strip().splitlines()[-1]


def test_a_folder_of_the_drivers_machine_is_refused(cluster: Cluster, landing_uri: str, tmp_path: Path) -> None:
    variables = where(landing_uri, tmp_path.as_uri())
    refused = cluster.submit(RUN_PY, step("transaction_lines", "refused"), PROPERTIES, variables)
    said, _ = refused.communicate(timeout=SECONDS)
    assert refused.returncode == 2
    assert f"error: '{tmp_path.as_uri()}' is a folder of this machine" in said


@pytest.mark.usefixtures("other_code_on_machines")
def test_a_night_with_its_code_sent_along_survives_a_machine_that_dies_in_the_middle_of_inference(
    cluster: Cluster, landing_uri: str, s3_bucket: str, local_tables: Mapping[str, str], tmp_path: Path
) -> None:
    warehouse_uri = f"{s3_bucket}/cluster/killed"
    properties = PROPERTIES | sent_along(tmp_path / "code.tar") | TWO_THREADS_A_TASK | SPECULATING
    properties |= EVENT_LOG | {"spark.eventLog.dir": tmp_path.as_uri()}
    night = cluster.submit(CLI_PY, NIGHT, properties, where(landing_uri, warehouse_uri))
    said = said_until_first_photos_are_done(night)
    assert [key for key in keys(warehouse_uri) if key.endswith("photo_age_estimates/_STAGED.json")] == []
    cluster.machines[1].kill()
    said += told(night)
    assert published_tables(warehouse_uri) == local_tables
    events = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".tar")
    assert '"Event":"SparkListenerExecutorRemoved"' in events
    assert '"Speculative":true' in events
    assert S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in events + said


def sent_along(archive: Path) -> dict[str, str]:
    """Pack the driver's code and models, and let Spark unpack them in each executor's working folder."""
    with tarfile.open(archive, "w") as code:
        for package in ("jobs", "models"):
            code.add(REPOSITORY / package, package, filter=lambda file: None if is_not_needed(file.name) else file)
    return {"spark.archives": f"{archive}#code", "spark.executorEnv.PYTHONPATH": "code"}


def is_not_needed(name: str) -> bool:
    return any(part in name for part in ("__pycache__", "age_resnet50-3", ".onnx", "synthetic_faces-2"))


def said_until_first_photos_are_done(night: subprocess.Popen[str]) -> str:
    """Read the output of a night up to its first line of progress."""
    watchdog = threading.Timer(SECONDS, night.kill)
    watchdog.start()
    said = ""
    assert night.stdout
    for line in night.stdout:
        said += line
        if f"of {PHOTO_COUNT} photos" in line:
            break
    watchdog.cancel()
    assert f"of {PHOTO_COUNT} photos" in said, said[-5000:]
    return said


def keys(uri: str) -> list[str]:
    return [entry.key for entry in ObjectStore(uri).list()]
