"""backfill: runs a backfill on this machine: Spark applications of many days each, then windows and reports.

An application is a process of its own that ends after its chunk of days, so that the memory of Spark does not creep.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from threading import Thread
from typing import Any

from jobs.local_spark import local_spark_environment
from jobs.settings import PREFIX, Settings
from jobs.steps.backfill_days import Progress
from jobs.steps.backfill_options import BackfillOptions
from jobs.steps.plan_backfill import chunk_arguments, planned_chunks
from jobs.warehouse.warehouse import Warehouse

PR_SET_PDEATHSIG = 1
"""Linux: a process asks for a signal when its parent ends."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Backfill:
    """A backfill as it was asked for."""

    days: Sequence[date]
    run_id: str
    options: BackfillOptions


def build_days(
    warehouse: Warehouse, asked: Backfill, settings: Settings, say: Say, show: Callable[[Progress], None]
) -> None:
    """Run the applications that build the days; `say` gets each line of their logs, `show` the progress of them all.

    An application that breaks does not stop the others: its days are then told as not built. Raises InputError as
    `planned_chunks` does.
    """
    planned = planned_chunks(warehouse, asked.days, settings, asked.options)
    progress = Progress(sum(map(len, planned)))
    environment = _environment(settings)

    def build(chunk: Sequence[date]) -> None:
        for day in _days_of_application(chunk_arguments(chunk, asked.run_id, asked.options), environment, say):
            progress.add(day["is_built"], day["photo_count"])
            show(progress)

    with ThreadPoolExecutor(settings.backfill_applications) as pool:
        list(pool.map(build, planned))


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the applications: this one, with the places that the command line named."""
    places = {f"{PREFIX}LANDING_URI": settings.landing_uri, f"{PREFIX}WAREHOUSE_URI": settings.warehouse_uri}
    own = os.environ | places
    return local_spark_environment(own) | own


def _days_of_application(arguments: Sequence[str], environment: dict[str, str], say: Say) -> Iterator[dict[str, Any]]:
    """Run one application; yield the line of JSON that it prints for each day."""
    with subprocess.Popen(
        [sys.executable, "-m", "jobs.run", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_end_with_parent,
    ) as application:
        assert application.stdout is not None
        assert application.stderr is not None
        log = Thread(target=_pass_on, args=(application.stderr, say))
        log.start()
        # Libraries may print lines of their own.
        yield from (json.loads(line) for line in application.stdout if line.startswith("{"))
        log.join()
    if application.returncode:
        say(f"an application of the backfill ended with exit code {application.returncode}")


def _pass_on(lines: Iterable[str], say: Say) -> None:
    for line in lines:
        say(line.rstrip("\n"))


def _end_with_parent() -> None:
    """Ask Linux to end this process when the backfill is killed: nobody would know that it still builds days."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
