"""starts: what a night, an empty night and a backfill of small days cost next to an earlier commit of this project.

    python -m tests.benchmarks.starts --before FOLDER [--rounds 3] [--days 28] [--only airflow,empty,backfill]

FOLDER is a checkout of the earlier commit; both run with this interpreter. A round runs each part with the code before
and the code now, one after the other. CPU seconds are those of all processes that a command starts, sampled meanwhile.
The days are those of the demo, each drawn with its own seed. Figures go to .demo/starts.json as they are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import duckdb
import psutil

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.sample_day.sample_day import write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore

REPOSITORY = Path(__file__).resolve().parents[2]
OUT = REPOSITORY / ".demo" / "starts.json"
FIRST = date(2026, 11, 1)
EMPTY = date(2026, 10, 1)
AIRFLOW, EMPTY_NIGHT, BACKFILL = "airflow", "empty", "backfill"
SAMPLE_SECONDS = 0.2
PARTS = (AIRFLOW, EMPTY_NIGHT, BACKFILL)
BUILT_ANEW = {"run_id", "inferred_run_id", "landed_at", "etag"}
"""Columns that differ between any two runs."""

NIGHT_IN_AIRFLOW = """
import json, os, subprocess, sys
from pathlib import Path
try:
    from jobs.operations.demo import airflow_environment
except ImportError:  # where it was before
    from jobs.demo import airflow_environment
home, landing, warehouse, day, do = sys.argv[1:]
environment = airflow_environment(os.environ, Path(home), landing, warehouse)
night = ["airflow", "dags", "test", "checkout_ages_nightly", "--conf", json.dumps({"business_date": day})]
sys.exit(subprocess.run(night if do == "run" else ["airflow", "db", "migrate"], env=environment).returncode)
"""


@dataclass(frozen=True)
class Code:
    """A checkout of this project, and the name of its figures."""

    name: str
    folder: Path


def main() -> None:
    """Measure with the options of the command line, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="checkout of the earlier commit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--days", type=int, default=28, help="days of the backfill")
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(PARTS))
    arguments = parser.parse_args()
    codes = [Code("before", arguments.before.resolve()), Code("now", REPOSITORY)]
    OUT.parent.mkdir(exist_ok=True)
    figures: dict[str, Any] = {}
    with TemporaryDirectory(prefix="checkout-ages-", dir=OUT.parent) as folder:
        landing = Path(folder, "landing")
        _land(landing, arguments.days if BACKFILL in arguments.only else 1)
        for name, measured in _measured(arguments, codes, landing, Path(folder)):
            figures.setdefault(name, []).append(measured)
            OUT.write_text(json.dumps(figures | {"medians": medians(figures)}, indent=1) + "\n")
            print(name, measured, flush=True)
    print(json.dumps(medians(figures), indent=1))


def medians(figures: Mapping[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of each figure of a part."""
    return {
        name: {figure: median(measured[figure] for measured in rounds) for figure in rounds[0]}
        for name, rounds in figures.items()
    }


def _measured(
    arguments: argparse.Namespace, codes: list[Code], landing: Path, folder: Path
) -> Iterator[tuple[str, dict[str, float]]]:
    for round_number in range(arguments.rounds):
        for code in codes:
            work = folder / f"{code.name}-{round_number}"
            if AIRFLOW in arguments.only:
                yield f"{AIRFLOW} {code.name}", _airflow_night(code, landing, work)
            if EMPTY_NIGHT in arguments.only:
                yield f"{EMPTY_NIGHT} {code.name}", _empty_night(code, landing, work)
        if BACKFILL in arguments.only:
            yield (
                f"{BACKFILL} now, a day",
                _backfill(codes[-1], landing, folder / f"backfill-{round_number}", arguments.days),
            )
            if AIRFLOW in arguments.only:
                now = folder / f"{codes[-1].name}-{round_number}"
                _must_be_equal(now / "warehouse", folder / f"backfill-{round_number}" / "warehouse", FIRST)
        for warehouse in folder.glob(f"*-{round_number}"):
            shutil.rmtree(warehouse)


def _airflow_night(code: Code, landing: Path, work: Path) -> dict[str, float]:
    """Run one night through `airflow dags test`, after Airflow's database is there."""
    (work / "airflow").mkdir(parents=True)
    command = [sys.executable, "-c", NIGHT_IN_AIRFLOW, str(work / "airflow"), landing.as_uri()]
    command += [(work / "warehouse").as_uri(), FIRST.isoformat()]
    _timed(code, [*command, "prepare"])
    return _timed(code, [*command, "run"])


def _empty_night(code: Code, landing: Path, work: Path) -> dict[str, float]:
    """Run `checkout-ages night` on a day without photos and receipts."""
    places = ["--landing-uri", landing.as_uri(), "--warehouse-uri", (work / "empty").as_uri()]
    return _timed(code, [sys.executable, "-m", "jobs.cli", "night", "--business-date", EMPTY.isoformat(), *places])


def _backfill(code: Code, landing: Path, work: Path, days: int) -> dict[str, float]:
    """Run `checkout-ages backfill`, and return its cost by day."""
    last = FIRST + timedelta(days=days - 1)
    places = ["--landing-uri", landing.as_uri(), "--warehouse-uri", (work / "warehouse").as_uri()]
    command = [sys.executable, "-m", "jobs.cli", "backfill", "--from", FIRST.isoformat(), "--to", last.isoformat()]
    measured = _timed(code, [*command, *places])
    return {name: value / days for name, value in measured.items()}


def _timed(code: Code, command: list[str]) -> dict[str, float]:
    """Run a command of a checkout; return its seconds by the clock and of the processor. Raises when it fails."""
    environment = os.environ | {"PYTHONPATH": str(code.folder)}
    began = time.monotonic()
    with NamedTemporaryFile("w+") as log:
        process = psutil.Popen(command, cwd=code.folder, env=environment, stdout=log, stderr=log)
        cpu_by_process: dict[tuple[int, float], float] = {}
        # Not the kernel's sums over ended children: the JVM outlives the Python process that started it.
        while process.poll() is None:
            cpu_by_process |= dict(_cpu_of_tree(process))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.monotonic() - began
        if process.returncode:
            end = Path(log.name).read_text(errors="replace")[-5000:]
            raise RuntimeError(f"{code.name}: {command[:6]} ended with {process.returncode}:\n{end}")
    return {"seconds": round(seconds, 1), "cpu_seconds": round(sum(cpu_by_process.values()), 1)}


def _cpu_of_tree(root: psutil.Process) -> Iterator[tuple[tuple[int, float], float]]:
    """Yield the CPU seconds of a process and of each of its descendants, by id and start."""
    with suppress(psutil.Error):
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                yield (process.pid, process.create_time()), times.user + times.system


def _must_be_equal(one: Path, other: Path, day: date) -> None:
    """Raise RuntimeError when a table of a night and of a backfill differ."""
    different = [table.name for table in NIGHT_TABLES if _rows(one, table.name, day) != _rows(other, table.name, day)]
    if different:
        raise RuntimeError(f"tables of {day} differ: {different}")


def _rows(warehouse: Path, table: str, day: date) -> list[tuple[object, ...]]:
    file = warehouse / table / f"business_date={day}" / "part-0.parquet"
    with duckdb.connect() as connection:
        rows = connection.sql(f"FROM read_parquet('{file}', hive_partitioning = false)")
        names = [name for name in rows.columns if name not in BUILT_ANEW]
        return connection.sql(f"SELECT {', '.join(names)} FROM read_parquet('{file}') ORDER BY ALL").fetchall()


def _land(folder: Path, days: int) -> None:
    landing = ObjectStore(folder.as_uri())
    time_zone = Settings.model_fields["store_time_zone"].default
    for number in range(days):
        day = FIRST + timedelta(days=number)
        write_sample_day(landing, day, synthetic_face_photos(), "completejourney", number, time_zone)
    for place in (photos_folder, transactions_folder):
        landing.write(f"{place(EMPTY)}/{SUCCESS}", b"")


if __name__ == "__main__":
    main()
