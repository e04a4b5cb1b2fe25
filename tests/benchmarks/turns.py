"""turns: control a child process from its parent: start it, wait until it is ready, give it its turn, end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.job import Job
from tests.benchmarks.memory import MemorySamples, sampled_memory

REPOSITORY = Path(__file__).parents[2]
LOG_LINES_SHOWN = 40
SECONDS_TO_END = 30
SAMPLE_SECONDS = 1.0


class ContenderError(Exception):
    """A contender broke. The message has the end of its log."""


@dataclass
class Child:
    """A contender's process. `facts` is its answer when it was ready."""

    job: Job
    process: subprocess.Popen[str]
    log: Path
    memory: MemorySamples
    facts: dict[str, Any]
    loading_seconds: float

    def go(self, **arguments: Any) -> dict[str, Any]:
        """Let the contender run; return seconds and rows."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(arguments) + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        if line := self.process.stdout.readline():
            return dict(json.loads(line))
        self.process.wait()
        end = "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        raise ContenderError(f"contender '{self.job.contender}' ended with {self.process.returncode}:\n{end}")


@contextmanager
def ready_child(job: Job) -> Iterator[Child]:
    """Start a contender and wait until it is loaded and warm; at the end stop it and all processes it started."""
    with tempfile.TemporaryDirectory(prefix="checkout-ages-") as folder:
        log = Path(folder, "log")
        told = Job(**{**vars(job), "work": str(Path(folder, "work"))})
        Path(told.work).mkdir()
        started = time.monotonic()
        with log.open("w") as stderr:
            process = _start(told, stderr)
        try:
            with sampled_memory(process.pid, SAMPLE_SECONDS) as memory:
                child = Child(told, process, log, memory, {}, 0.0)
                child.facts = child.answer()
                child.loading_seconds = time.monotonic() - started
                yield child
        finally:
            _end(process)


def _start(job: Job, stderr: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.child", job.as_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Close its stdin, which ends it; after a while kill all that is left of it and its descendants."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    _, left = psutil.wait_procs(below, timeout=2)
    for survivor in left:
        survivor.kill()
