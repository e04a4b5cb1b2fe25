"""gate: holds the workers of Ray Data and Daft until their turn.

Both start workers, and so load the model, anew for each query. So a worker loads, warms up and then waits here; the
clock starts when the gate opens. What the framework has read of the files by then counts in its favour.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from tests.benchmarks.job import Ready

POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Gate:
    """A folder in which workers leave a mark when they are ready, and the driver one when they may go."""

    folder: str

    def wait(self) -> None:
        """Say in a worker that it is ready, and wait."""
        (Path(self.folder) / f"ready-{os.getpid()}").touch()
        while not (Path(self.folder) / "open").exists():
            time.sleep(POLL_SECONDS)

    def ready_count(self) -> int:
        return len(list(Path(self.folder).glob("ready-*")))

    def open(self) -> None:
        (Path(self.folder) / "open").touch()


@contextmanager
def held_back(gate: Gate, worker_count: int, query: Callable[[], int]) -> Iterator[Ready]:
    """Start the query in a thread; it is ready once all its workers are, and runs when the gate opens."""
    outcome: list[int | BaseException] = []
    thread = Thread(target=lambda: outcome.append(_caught(query)), daemon=True)
    thread.start()
    while gate.ready_count() < worker_count and thread.is_alive():
        time.sleep(POLL_SECONDS)

    def run() -> int:
        gate.open()
        thread.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    yield Ready(run)


def _caught(query: Callable[[], int]) -> int | BaseException:
    try:
        return query()
    except BaseException as error:
        return error
