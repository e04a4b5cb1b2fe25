"""measured_run: run a command until it ends, and sample its processes and its temporary files meanwhile."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

from tests.benchmarks.memory import MemorySamples, sampled_memory
from tests.benchmarks.turns import LOG_LINES_SHOWN, REPOSITORY

SAMPLE_SECONDS = 0.25
WALKS_TO_PAUSE = 20
"""A look at all temporary files is followed by a pause of so many times its duration, so that it costs little."""


class StepError(Exception):
    """A step broke. The message has the end of its log."""


@dataclass(frozen=True)
class MeasuredRun:
    """What a command cost. `peak_temporary_bytes` is the largest size of its folder of temporary files."""

    seconds: float
    memory: MemorySamples
    peak_temporary_bytes: int


@dataclass
class FolderPeak:
    """The largest size of a folder on the disk in any sample."""

    peak_bytes: int = 0


def measured_run(
    name: str,
    command: Sequence[str],
    variables: Mapping[str, str],
    cores: tuple[int, ...],
    log: Path,
    temporary_files: Path | None = None,
) -> MeasuredRun:
    """Run a command on some cores, with its output in a log.

    Raises StepError that names it when it fails. If this is interrupted, all its processes are ended.
    """
    started = time.monotonic()
    with log.open("w") as output:
        process = psutil.Popen(
            list(command),
            cwd=REPOSITORY,
            env=dict(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            with sampled_memory(process.pid, SAMPLE_SECONDS) as memory, sampled_folder(temporary_files) as temporary:
                exit_code = process.wait()
        finally:
            _end(process)
    if exit_code:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        raise StepError(f"step '{name}' ended with {exit_code}:\n{end}")
    return MeasuredRun(time.monotonic() - started, memory, temporary.peak_bytes)


@contextmanager
def sampled_folder(folder: Path | None) -> Iterator[FolderPeak]:
    """Sample the size of a folder until the block ends."""
    peak, ended = FolderPeak(), Event()

    def sample() -> None:
        pause = SAMPLE_SECONDS
        while not ended.wait(pause):
            began = time.monotonic()
            peak.peak_bytes = max(peak.peak_bytes, folder_bytes(folder) if folder else 0)
            pause = max(SAMPLE_SECONDS, WALKS_TO_PAUSE * (time.monotonic() - began))

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def folder_bytes(folder: Path) -> int:
    """Return the bytes that the files below a folder take on the disk. Files may vanish meanwhile."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += 512 * Path(parent, name).lstat().st_blocks
    return size


def _end(process: psutil.Popen) -> None:
    """Kill a process and all its descendants, if they still run."""
    with suppress(psutil.NoSuchProcess):
        for running in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                running.kill()
