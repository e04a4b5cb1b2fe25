"""many_days: kill `checkout-ages backfill` at ten moments, and a task of the DAG checkout_ages_backfill once.

The command is killed by SIGKILL with all its processes, and run again under its run id, until its days are published.
Every second kill comes at a random moment, the others as soon as estimates of a day are staged: on a slow machine no
random moment may meet them.
Then a real scheduler backfills 28 days; the Spark application of a chunk is killed in the middle, and tried again.
Each day must be whole, and published once. Estimates that were staged when a process was killed must be published as
they were: the seconds that they took are in the mark of the staged table and in the run's record.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import duckdb
import psutil

from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.steps.backfill_options import days_between
from jobs.steps.order import BACKFILL_DAYS
from jobs.warehouse.object_store import ObjectStore
from tests.given.landed_days import land_small_day
from tests.reliability.backfill import Airflow, kill_tree, new_airflow, wait_for, whole_days
from tests.reliability.verdicts import Figures, merged

log = logging.getLogger(__name__)

FIRST = date(2026, 11, 1)
KILLED_DAYS, KILLS, QUICK_KILLS = 8, 10, 1
SHORTEST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
PATIENCE_SECONDS, POLL_SECONDS = 300.0, 0.05
SCHEDULED_DAYS, DAYS_BEFORE_THE_KILL = 28, 3
RUN_ID = "months"
DAG_ID = "checkout_ages_backfill"
SEED = 1


def measure(folder: Path, quick: bool = False) -> Figures:
    """Kill the command ten times, once when quick, and a task of the DAG once, not when quick."""
    parts = {"command": killed_command(folder / "command", QUICK_KILLS if quick else KILLS)}
    return merged(parts if quick else parts | {"task": killed_task(folder / "scheduler")})


def killed_command(folder: Path, kills: int) -> Figures:
    """Kill the command at random moments, then let it end; return what became of the days."""
    days = _land(folder, KILLED_DAYS)
    staged_seconds: dict[date, float] = {}
    moments = random.Random(SEED)
    for number in range(kills):
        began, staged_before = time.monotonic(), set(staged_seconds)
        process = _start(folder, days)
        if number % 2:
            _wait(process, moments.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
        else:
            _wait_for_estimates(process, folder / "warehouse", staged_before)
        kill_tree(process.pid)
        process.wait()
        staged_seconds = _staged_seconds(folder / "warehouse") | staged_seconds
        whole = len(whole_days(folder / "warehouse", days))
        log.info(
            "kill %s after %.0f s: %s days whole, estimates of %s staged so far",
            number + 1,
            time.monotonic() - began,
            whole,
            len(staged_seconds),
        )
    ended = _start(folder, days).wait()
    again = [day for day, seconds in staged_seconds.items() if _published_seconds(folder / "warehouse", day) != seconds]
    return _figures(folder, days) | {
        "backfill_kills": kills,
        "staged_estimates_taken_over": len(staged_seconds) - len(again),
        "photos_inferred_again": len(again),
        "backfills_ended_otherwise": int(ended != 0),
    }


def killed_task(folder: Path) -> Figures:
    """Backfill days with a real scheduler, kill an application in the middle; return what became of the days."""
    days = _land(folder, SCHEDULED_DAYS)
    airflow = new_airflow(folder)
    with airflow.running():
        wait_for(lambda: bool(airflow.query(f"SELECT 1 FROM serialized_dag WHERE dag_id = '{DAG_ID}'")))
        asked = {"from_date": days[0].isoformat(), "to_date": days[-1].isoformat(), "days_per_application": 14}
        airflow.command("dags", "trigger", DAG_ID, "--run-id", RUN_ID, "--conf", json.dumps(asked))
        wait_for(lambda: len(whole_days(folder / "warehouse", days)) >= DAYS_BEFORE_THE_KILL)
        kill_tree(_application().pid)
        wait_for(lambda: _state(airflow) in ("success", "failed"))
    return _figures(folder, days) | {
        "backfill_tasks_killed": 1,
        "backfills_ended_otherwise": int(_state(airflow) != "success"),
    }


def _land(folder: Path, count: int) -> list[date]:
    """Land small days, each with its own face, so that no estimate of one day is that of another."""
    days = days_between(FIRST, FIRST + timedelta(days=count - 1))
    faces = synthetic_face_photos()([20 + number for number in range(count)], list(range(count)), SEED)
    for day, face in zip(days, faces, strict=True):
        land_small_day(ObjectStore((folder / "landing").as_uri()), day, photo=face.content)
    return days


def _start(folder: Path, days: list[date]) -> subprocess.Popen[bytes]:
    places = ["--landing-uri", (folder / "landing").as_uri(), "--warehouse-uri", (folder / "warehouse").as_uri()]
    span = ["--from", days[0].isoformat(), "--to", days[-1].isoformat(), "--run-id", RUN_ID]
    with (folder / "backfill.log").open("a") as output:
        command = [sys.executable, "-m", "jobs.cli", "backfill", *span, "--days-per-application", "3", *places]
        # A publisher that was killed holds its lock for so long.
        environment = os.environ | {"CHECKOUT_AGES_LOCK_STALE_SECONDS": "1"}
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait some seconds, or until the process has ended."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


def _wait_for_estimates(process: subprocess.Popen[bytes], warehouse: Path, before: set[date]) -> None:
    """Wait until estimates of a day are staged that were not before, or the process has ended."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < ends and _marks(warehouse).keys() <= before:
        time.sleep(POLL_SECONDS)


def _marks(warehouse: Path) -> dict[date, Path]:
    """Return the marks of staged estimates by their day."""
    marks = warehouse.glob(f"_staging/{RUN_ID}/*/photo_age_estimates/_STAGED.json")
    return {date.fromisoformat(mark.parts[-3].removeprefix("business_date=")): mark for mark in marks}


def _staged_seconds(warehouse: Path) -> dict[date, float]:
    """Return the seconds that the staged estimates of each day took. No process may write meanwhile."""
    return {day: json.loads(mark.read_text())["seconds"] for day, mark in _marks(warehouse).items()}


def _published_seconds(warehouse: Path, day: date) -> float | None:
    record = f"'{warehouse}/pipeline_runs/business_date={day}/{RUN_ID}.parquet'"
    found = duckdb.sql(f"SELECT table_seconds['photo_age_estimates'] FROM {record}").fetchone()
    return found[0] if found else None


def _figures(folder: Path, days: list[date]) -> Figures:
    marks = [len(list((folder / f"warehouse/pipeline_runs/business_date={day}").glob("*.parquet"))) for day in days]
    staging_left = list((folder / "warehouse/_staging").glob(f"{RUN_ID}/business_date=*"))
    return {
        "backfilled_days": len(whole_days(folder / "warehouse", days)),
        "backfill_days_wanted": len(days),
        "days_published_twice": sum(count > 1 for count in marks),
        "staging_left": len(staging_left),
    }


def _application() -> psutil.Process:
    """Return the outermost process of the application that builds days."""
    for process in psutil.process_iter(["cmdline", "create_time"]):
        if BACKFILL_DAYS in (process.info["cmdline"] or []):
            return process
    raise RuntimeError("no application builds days")


def _state(airflow: Airflow) -> str | None:
    states: list[tuple[str, ...]] = airflow.query(f"SELECT state FROM dag_run WHERE run_id = '{RUN_ID}'")
    return states[0][0] if states else None
