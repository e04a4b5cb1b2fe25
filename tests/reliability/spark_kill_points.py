"""spark_kill_points: run a night of twelve photos with real inference, and kill every step that builds a table.

One driver is used for all steps that must succeed, and for steps with a killed Python worker, the one that writes a
table. A step whose driver or JVM is killed while it commits a table is its own `jobs.run`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psutil

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.local_spark import local_spark_environment
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.steps.order import BUILT_WITHOUT_SPARK, TABLE_STEPS
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at
from tests.reliability import kill_switch
from tests.reliability.kill_switch import SWITCH, Moment, Point, arm, fired
from tests.reliability.staged_nights import NEW, environment

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
STEP_TIMEOUT_SECONDS = 300
PHOTO_COUNT = 12
JVM_POINTS = {
    "checkout_photos": Point("close", "_attempts/checkout_photos-", victim="jvm"),
    "photo_age_estimates": Point("read", "photos/", 5, victim="jvm"),
    "alcohol_sale_audit": Point("close", "_attempts/alcohol_sale_audit-", victim="jvm"),
}
S3_STEP = "transaction_lines"
TABLE_WITHOUT_ROWS = "rejected_transaction_lines"
"""The day has no line to reject, so the step's driver writes this empty table itself."""


def worker_points(step: str) -> list[Point]:
    """Return the points at which a step's Python workers are killed, including those that infer."""
    if step in BUILT_WITHOUT_SPARK:
        return []
    inferring = [Point("read", "photos/", 5)] if step == "photo_age_estimates" else []
    return [*inferring, Point("close", f"_attempts/{step}-")]


def driver_points(step: str) -> list[Point]:
    """Return the points at which a step's driver or its JVM is killed."""
    jvm = [JVM_POINTS[step]] if step in JVM_POINTS else []
    moment: Moment = "after" if TABLE_STEPS.index(step) % 2 else "before"
    table = f"/{step}/part-0.parquet$"
    # Spark's driver copies the file of the task's attempt; a step without Spark writes the file itself.
    commits = [Point("close" if step in BUILT_WITHOUT_SPARK else "copy", table, moment=moment)]
    if step == S3_STEP:
        commits.append(Point("close", f"/{TABLE_WITHOUT_ROWS}/part-0.parquet$"))
    return [*commits, Point("write", f"/{step}/_STAGED.json$"), *jvm]


def land(folder: Path) -> Path:
    """Land a day of twelve receipts, each with a photo and an alcohol line; one photo is empty."""
    landing = ObjectStore(folder.as_uri())
    faces = synthetic_face_photos()([16 + 4 * number for number in range(PHOTO_COUNT)], list(range(PHOTO_COUNT)), 1)
    lines = []
    for number, face in enumerate(faces):
        closed_at = at("09:01:00") + timedelta(minutes=10 * number)
        taken_at = closed_at - timedelta(seconds=20)
        key = f"{photos_folder(BUSINESS_DATE)}/store_id=0042/till_id=03/{taken_at:%Y%m%dT%H%M%S.000Z}.jpg"
        landing.write(key, face.content if number else b"")
        lines += [json.dumps(_line(number, line, closed_at.isoformat())) for line in (1, 2)]
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/lines.jsonl", "\n".join(lines).encode())
    for marked in (photos_folder, transactions_folder):
        landing.write(f"{marked(BUSINESS_DATE)}/{SUCCESS}", b"")
    return folder


def _line(number: int, line: int, closed_at: str) -> dict[str, Any]:
    return {
        "transaction_id": f"t{number:02}",
        "store_id": "0042",
        "till_id": "03",
        "cashier_id": f"c{number % 3}",
        "closed_at": closed_at,
        "line_number": line,
        "line_type": "sale",
        "sku": f"s{line}",
        "product_category": "WINE" if line == 1 else "MILK",
        "quantity": "1",
        "net_amount": "2.50",
        "currency": "USD",
        "is_alcohol": line == 1,
        "id_check": "not_asked" if line == 1 else None,
    }


class Driver:
    """A process of spark_steps."""

    def __init__(self, variables: Mapping[str, str], log_file: IO[str]) -> None:
        command = [sys.executable, "-m", "tests.reliability.spark_steps"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, text=True
        )

    def run(self, step: str, settings: Mapping[str, str]) -> str | None:
        """Run a step of the run NEW; return its error, if any."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([step, NEW, dict(settings)]), file=self._process.stdin, flush=True)
        wrong: str | None = json.loads(self._process.stdout.readline() or '"the driver died"')
        return wrong

    def end(self) -> None:
        """Stop Spark and end the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(STEP_TIMEOUT_SECONDS)


class Night:
    """Runs and kills steps with Spark. All processes have the switch of `folder`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.switch = folder / "spark-switch.json"
        self._variables = (
            os.environ
            | local_spark_environment(os.environ)
            | {
                SWITCH: str(self.switch),
                "PYTHONPATH": os.pathsep.join([str(Path(kill_switch.__file__).parent / "preloaded"), str(ROOT)]),
                "PYSPARK_SUBMIT_ARGS": "--master local[2] --driver-memory 1g pyspark-shell",
                "TZ": "UTC",
            }
        )
        self._log = stack.enter_context((folder / "spark.log").open("w"))
        stack.callback(self._end_all)
        self._driver = Driver(self._variables, self._log)
        stack.callback(self._driver.end)

    def run(self, step: str, settings: Mapping[str, str]) -> list[str]:
        """Run a step that must succeed."""
        wrong = self._driver.run(step, settings)
        return [f"{step} run again: {wrong}"] if wrong else []

    def kill_worker(self, step: str, settings: Mapping[str, str], point: Point) -> list[str]:
        """Kill a Python worker of a step; return the faults."""
        arm(self.switch, point)
        wrong = self._driver.run(step, settings)
        return [] if wrong and fired(self.switch).exists() else [f"{point} was not reached, or not noticed"]

    def kill_driver(self, step: str, settings: Mapping[str, str], point: Point) -> list[str]:
        """Kill a step's driver or its JVM, in its own application; return the faults."""
        arm(self.switch, point)
        command = [sys.executable, "-m", "jobs.run", step, "--business-date", str(BUSINESS_DATE), "--run-id", NEW]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._variables | dict(settings),
            stdout=self._log,
            stderr=self._log,
            timeout=STEP_TIMEOUT_SECONDS,
            check=False,
        )
        died = done.returncode == -signal.SIGKILL if point.victim == "self" else done.returncode != 0
        return [] if died and fired(self.switch).exists() else [f"{point} was not reached: {done.returncode}"]

    def _end_all(self) -> None:
        """End all processes that outlived a killed driver, known by this switch in their environment."""
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get(SWITCH) == str(self.switch)
            except (psutil.Error, OSError):
                continue
            if is_ours and process.pid != os.getpid():
                process.kill()


@contextmanager
def spark_night(folder: Path) -> Iterator[Night]:
    """Start a driver that runs until the block ends."""
    with ExitStack() as stack:
        yield Night(folder, stack)


def stage_undisturbed(night: Night, store: ObjectStore, landing: Path) -> None:
    """Stage and check a whole night."""
    settings = environment(store.uri, landing)
    for step in (*TABLE_STEPS, "check_night"):
        started = time.monotonic()
        if wrong := night.run(step, settings):
            raise RuntimeError(f"the undisturbed night broke: {wrong}")
        log.info("%s undisturbed in %.1f s", step, time.monotonic() - started)


def staged(store: ObjectStore, step: str) -> str:
    """Return the place of the rows that a step has staged."""
    return f"{store.uri}/_staging/{NEW}/business_date={BUSINESS_DATE}/{step}/part-0.parquet"


def unstage(store: ObjectStore) -> None:
    """Delete everything from a warehouse that is not published."""
    warehouse = Warehouse(store, NEW)
    warehouse.store.delete([entry.key for entry in list(warehouse.store.list("_staging"))])
