"""backfill: backfill ten past days with Airflow's scheduler, kill it in the middle, and have one broken day.

All processes of that Airflow are killed by SIGKILL at once, like a power cut, and started again. One day has no mark of
completion: its run fails with that reason, and succeeds after the mark is added and the task is cleared.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import psutil

from jobs.landing.deliveries import SUCCESS, transactions_folder
from jobs.operations.demo import airflow_environment
from jobs.operations.sample_day.sample_day import write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from tests.servers.s3_server import free_port

DAG_ID = "checkout_ages_nightly"
DAYS = 10
RUNS_AT_A_TIME = 3
DAYS_BEFORE_THE_CUT = 2
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 3600.0
SHORT_WAITS = {
    "CHECKOUT_AGES_LANDING_TIMEOUT_SECONDS": "20",
    "CHECKOUT_AGES_TASK_RETRY_DELAY_SECONDS": "20",
    "CHECKOUT_AGES_LOCK_STALE_SECONDS": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
}
"""Settings that make Airflow react in seconds instead of minutes or hours."""


@dataclass(frozen=True)
class Airflow:
    """An own Airflow, and the environment for its commands."""

    home: Path
    environment: Mapping[str, str]

    def command(self, *arguments: str) -> str:
        """Run a command of `airflow` and return its output. Raises RuntimeError with the output when it fails."""
        done = subprocess.run(
            ["airflow", *arguments],
            env=dict(self.environment),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"`airflow {' '.join(arguments)}` ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def query(self, sql: str) -> list[tuple[str, ...]]:
        """Read the metadata database, while other processes may write to it."""
        uri = f"file:{self.home / 'airflow.db'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=60)) as connection:
            return connection.execute(sql).fetchall()

    def run_states(self) -> dict[date, str]:
        """Return the state of each run of the backfill by its business date."""
        rows = self.query(
            f"SELECT logical_date, state FROM dag_run WHERE dag_id = '{DAG_ID}' AND run_type = 'backfill'"
        )
        return {datetime.fromisoformat(logical_date).date(): state for logical_date, state in rows}

    @contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """Run scheduler, DAG processor, triggerer and API server until the block ends or they are killed."""
        with (self.home / "standalone.log").open("a") as log:
            command = ["airflow", "standalone"]
            process = subprocess.Popen(command, env=dict(self.environment), stdout=log, stderr=log)
            try:
                yield psutil.Process(process.pid)
            finally:
                kill_tree(process.pid)
                process.wait()


def measure(folder: Path, quick: bool = False) -> dict[str, int | float]:
    """Backfill ten days, or three when quick; return the number of whole days, and of planned failures."""
    days = [date(2026, 11, 1) + timedelta(days=number) for number in range(3 if quick else DAYS)]
    broken = days[1]
    landing = ObjectStore((folder / "landing").as_uri())
    for number, day in enumerate(days):
        write_sample_day(landing, day, synthetic_face_photos(), "synthetic", number, _time_zone())
    landing.delete([_mark(broken)])
    airflow = new_airflow(folder)
    start_backfill(airflow, days)
    with airflow.running() as first:
        wait_for(lambda: len(whole_days(folder / "warehouse", days)) >= min(DAYS_BEFORE_THE_CUT, len(days) - 1))
        kill_tree(first.pid)
        done_before_the_cut = whole_days(folder / "warehouse", days)
    with airflow.running():
        wait_for(lambda: all(state in ("success", "failed") for state in airflow.run_states().values()))
        failed = [day for day, state in airflow.run_states().items() if state == "failed"]
        done_with_one_broken = whole_days(folder / "warehouse", days)
        reason_is_told = f"{_mark(broken)}" in log_of(airflow, "wait_for_business_date", broken)
        landing.write(_mark(broken), b"")
        airflow.command("tasks", "clear", "--yes", "--downstream", "--only-failed", *_only(broken), DAG_ID)
        wait_for(lambda: airflow.run_states()[broken] == "success")
        whole = whole_days(folder / "warehouse", days)
    return {
        "backfilled_days": len(whole),
        "backfill_days_wanted": len(days),
        "backfill_days_before_the_cut": len(done_before_the_cut),
        "backfill_days_with_one_broken": len(done_with_one_broken),
        "backfill_runs_failed_as_planned": int(failed == [broken] and reason_is_told),
        "backfill_runs_failed_otherwise": len(set(failed) - {broken}),
        "scheduler_cuts_survived": int(len(done_with_one_broken) == len(days) - 1),
    }


def new_airflow(folder: Path) -> Airflow:
    """Set up an Airflow with its own database and free ports."""
    home = folder / "airflow"
    environment = airflow_environment(os.environ, home, (folder / "landing").as_uri(), (folder / "warehouse").as_uri())
    port = free_port()
    airflow = Airflow(
        home,
        {
            **environment,
            **SHORT_WAITS,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": str(RUNS_AT_A_TIME),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        },
    )
    home.mkdir(parents=True)
    airflow.command("db", "migrate")
    return airflow


def start_backfill(airflow: Airflow, days: list[date]) -> None:
    """Request the backfill of all days, before a scheduler runs: with SQLite, two that write at once may fail."""
    airflow.command("dags", "reserialize")
    span = ("--from-date", days[0].isoformat(), "--to-date", days[-1].isoformat())
    airflow.command("backfill", "create", "--dag-id", DAG_ID, *span, "--max-active-runs", str(RUNS_AT_A_TIME))


def whole_days(warehouse: Path, days: list[date]) -> list[date]:
    """Return the days that readers see whole: one run's rows in all tables, and its mark in pipeline_runs."""
    return [day for day in days if _is_whole(warehouse, day)]


def _is_whole(warehouse: Path, day: date) -> bool:
    def files(table: str) -> list[str]:
        return [str(path) for path in (warehouse / table / f"business_date={day}").glob("*.parquet")]

    marks = files("pipeline_runs")
    if not marks:
        return False
    newest = "arg_max(run_id, published_at), arg_max(accepted_line_count, published_at)"
    (run_id, line_count) = duckdb.read_parquet(marks).aggregate(newest).fetchall()[0]
    lines = duckdb.read_parquet(files("transaction_lines"))
    tables_of_other_runs = [
        table.name
        for table in NIGHT_TABLES
        if duckdb.read_parquet(files(table.name)).filter(f"run_id <> '{run_id}'").count("*").fetchall()[0][0]
    ]
    return lines.count("*").fetchall()[0][0] == line_count > 0 and not tables_of_other_runs


def log_of(airflow: Airflow, task_id: str, day: date) -> str:
    """Return all logs of a task of a day."""
    runs = f"SELECT run_id FROM dag_run WHERE dag_id = '{DAG_ID}' AND run_type = 'backfill'"
    run_ids = airflow.query(f"{runs} AND date(logical_date) = '{day}'")
    folders = [airflow.home / "logs" / f"dag_id={DAG_ID}" / f"run_id={run_id}" for (run_id,) in run_ids]
    logs = (path for folder in folders for path in (folder / f"task_id={task_id}").glob("*.log"))
    return "".join(path.read_text() for path in sorted(logs))


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until the condition is true. Raises TimeoutError after an hour."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("Airflow has not come so far within an hour")
        time.sleep(POLL_SECONDS)


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants at once."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes[1:], timeout=30)


def _mark(day: date) -> str:
    return f"{transactions_folder(day)}/{SUCCESS}"


def _only(day: date) -> list[str]:
    return ["--start-date", day.isoformat(), "--end-date", f"{day.isoformat()}T12:00"]


def _time_zone() -> str:
    name: str = Settings.model_fields["store_time_zone"].default
    return name
