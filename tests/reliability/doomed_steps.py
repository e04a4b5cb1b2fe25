"""doomed_steps: run steps of jobs.run in processes that may be killed, stopped or made to misbehave.

Each process is forked from a server that has imported all modules but not used them, so that it starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE
from tests.reliability.kill_switch import Switch, install, local_path

TIMEOUT_SECONDS = 120.0
TORN_TABLE = "transaction_lines/"
PHOTO_TABLE = "photo_age_estimates/"

DIES, STOPS, DROPS = "dies between two halves", "stops between two halves", "drops a photo"
"""Ways in which a publisher is wrong on purpose."""

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "jobs.steps.order",
        "jobs.steps.check_night",
        "jobs.steps.publish_night",
        "jobs.steps.publish_window",
        "pandas",
        __name__,
    ]
)


@dataclass(frozen=True)
class Step:
    """A step of a run: its name, the run, its settings, and the way it misbehaves, if any."""

    name: str
    run_id: str
    environment: Mapping[str, str]
    fault: str = ""


class Started:
    """A step that runs in its own process."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self._process = process
        self._log = log

    def exit_code(self) -> int:
        """Wait for the end. A killed process has minus the signal's number. A process that hangs is killed: -14."""
        self._process.join(TIMEOUT_SECONDS)
        if self._process.exitcode is None:
            self._process.kill()
            return -int(signal.SIGALRM)
        return self._process.exitcode

    def said(self) -> str:
        """Return its output on stderr."""
        return self._log.read_text()

    def wait_until_stopped(self) -> bool:
        """Wait until the process has been stopped or has ended; return whether it was stopped."""
        stops = time.monotonic() + TIMEOUT_SECONDS
        while self._process.is_alive() and time.monotonic() < stops:
            if psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED:
                return True
            time.sleep(0.01)
        return False

    def go_on(self) -> None:
        """Continue a stopped process."""
        os.kill(self._process.pid or 0, signal.SIGCONT)


def start(
    step: Step, log: Path, switch: Path | None = None, recorded: Path | None = None, together: Barrier | None = None
) -> Started:
    """Start a step. With a barrier, it waits until all its parties are ready."""
    process = SERVER.Process(target=_run, args=(step, log, switch, recorded, together), daemon=True)
    process.start()
    return Started(process, log)


def _run(step: Step, log: Path, switch: Path | None, recorded: Path | None, together: Barrier | None) -> None:
    os.environ.update(step.environment)
    with log.open("w") as opened:
        os.dup2(opened.fileno(), 2)
    import jobs.steps.order  # noqa: F401 # before a fault takes the place of what it imports

    if step.fault:
        FAULTS[step.fault]()
    if switch:
        install(Switch(switch, recorded))
    sys.argv = ["jobs.run", step.name, "--business-date", str(BUSINESS_DATE), "--run-id", step.run_id]
    if together:
        together.wait(TIMEOUT_SECONDS)
    runpy.run_module("jobs.run", run_name="__main__")


def _copy_in_halves(in_between: Callable[[], None]) -> None:
    """Publish in the wrong way: first half of a table in place, then all of it."""

    def copy(store: ObjectStore, source: str, target: str) -> None:
        content = store.read(source)
        _write_in_place(store, target, content[: len(content) // 2])
        if target.startswith(TORN_TABLE):
            in_between()
        _write_in_place(store, target, content)

    ObjectStore.copy = copy  # type: ignore[method-assign]


def _write_in_place(store: ObjectStore, key: str, content: bytes) -> None:
    if store.uri.startswith("file:"):
        local_path(store, key).write_bytes(content)
    else:
        store.write(key, content)


def _drop_a_photo() -> None:
    whole_copy = ObjectStore.copy

    def copy(store: ObjectStore, source: str, target: str) -> None:
        if not target.startswith(PHOTO_TABLE):
            whole_copy(store, source, target)
            return
        with store.reader(source) as stream:
            rows = pq.ParquetFile(stream).read()
        with store.writer(target) as stream:
            pq.write_table(rows.slice(1), stream)

    ObjectStore.copy = copy  # type: ignore[method-assign]


FAULTS: Mapping[str, Callable[[], None]] = {
    DIES: lambda: _copy_in_halves(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    STOPS: lambda: _copy_in_halves(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
    DROPS: _drop_a_photo,
}
