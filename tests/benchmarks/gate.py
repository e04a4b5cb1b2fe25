"""gate: hold the workers of Ray Data and Daft until their turn.

Both frameworks start new workers, and so load the model, for each query. So a worker loads, warms up and then waits
here; the clock starts when the gate opens. Files that the framework has read by then count in its favour.
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
    """A folder with marks: one of each worker when it is ready, and one of the driver when they may start."""

    folder: str

    def wait(self) -> None:
        """Mark this worker as ready, and wait."""
        (Path(self.folder) / f"ready-{os.getpid()}").touch()
        while not (Path(self.folder) / "open").exists():
            time.sleep(POLL_SECONDS)

    def ready_count(self) -> int:
        return len(list(Path(self.folder).glob("ready-*")))

    def open(self) -> None:
        (Path(self.folder) / "open").touch()


@contextmanager
def held_back(gate: Gate, worker_count: int, query: Callable[[], int]) -> Iterator[Ready]:
    """Start the query in a thread. It is ready when all its workers are, and runs when the gate opens."""
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
