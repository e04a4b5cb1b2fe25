"""memory: sample the memory and CPU time of a contender's processes while it runs.

For a whole process tree, memory is the sum of proportional sizes (PSS), which count a shared page once. For a single
process it is the resident size (RSS).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import psutil

SPARK_WORKER, SPARK_EXECUTOR, SPARK_JVM = "Spark's Python worker", "Spark's executor", "Spark's JVM"
PYTHON, JVM, EXECUTOR, WORKER = "python", "jvm", "executor", "worker"
"""Roles of the processes of a step."""
ROLES = {SPARK_WORKER: WORKER, SPARK_EXECUTOR: EXECUTOR, SPARK_JVM: JVM}
PROCESS_NAMES = {
    "pyspark.daemon": SPARK_WORKER,
    "CoarseGrainedExecutorBackend": SPARK_EXECUTOR,
    "org.apache.spark": SPARK_JVM,
    "daft.execution.udf_worker": "Daft's worker",
    "gcs_server": "Ray's control store",
    "raylet": "Ray's scheduler",
    "multiprocessing": "process per core",
    "tests.benchmarks.child": "driver",
}


@dataclass(frozen=True)
class ProcessMemory:
    """One process in one sample."""

    name: str
    is_worker: bool
    """Whether it is a forked Python worker of Spark."""
    rss_bytes: int
    pss_bytes: int
    cpu_seconds: float
    """CPU time since the process began."""

    @property
    def role(self) -> str:
        """WORKER, EXECUTOR, JVM (the driver's), or PYTHON: the process that runs the step's own code."""
        return ROLES.get(self.name, PYTHON)


@dataclass
class MemorySamples:
    """Samples over time: seconds on the monotonic clock, and the processes by id."""

    samples: list[tuple[float, dict[int, ProcessMemory]]] = field(default_factory=list)
    is_paused: bool = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take no samples within the block: reading the sizes of a process tree takes CPU time."""
        self.is_paused = True
        try:
            yield
        finally:
            self.is_paused = False

    def peak_tree_bytes(self) -> int:
        """Return the largest sum over all processes at one time."""
        return max((sum(process.pss_bytes for process in tree.values()) for _, tree in self.samples), default=0)

    def largest_process(self) -> tuple[str, int]:
        """Return name and bytes of the process with the most memory at any time."""
        seen = [process for _, tree in self.samples for process in tree.values()]
        largest = max(seen, key=lambda process: process.rss_bytes, default=ProcessMemory("none", False, 0, 0, 0.0))
        return largest.name, largest.rss_bytes

    def largest_bytes(self, role: str) -> int | None:
        """Return the size of the largest process of a role at any time, None if there was none."""
        processes = (process for _, tree in self.samples for process in tree.values())
        return max((process.rss_bytes for process in processes if process.role == role), default=None)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes ever seen, which other work on the machine changes little."""
        last_seen = {pid: process.cpu_seconds for _, tree in self.samples for pid, process in tree.items()}
        return sum(last_seen.values())

    def worker_bytes(self, since: float, until: float) -> list[int]:
        """Return the size of the largest Python worker of Spark in each sample of a span of time."""
        spans = [tree for at, tree in self.samples if since <= at <= until]
        workers = [[process.rss_bytes for process in tree.values() if process.is_worker] for tree in spans]
        return [max(sizes) for sizes in workers if sizes]


@contextmanager
def sampled_memory(pid: int, every_seconds: float) -> Iterator[MemorySamples]:
    """Sample a process and all its descendants until the block ends."""
    samples, ended = MemorySamples(), Event()

    def sample() -> None:
        while not ended.wait(every_seconds):
            if not samples.is_paused:
                samples.samples.append((time.monotonic(), _tree(pid)))

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def process_name(command: list[str]) -> str:
    """Return a name that readers know for a process, from its command line."""
    line = " ".join(command)
    if line.startswith("ray::"):
        return line.split("(")[0].split(".")[0]
    return next((name for part, name in PROCESS_NAMES.items() if part in line), line.split(" ")[0].rsplit("/", 1)[-1])


def _tree(pid: int) -> dict[int, ProcessMemory]:
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    found = {process.pid: _memory(process) for process in processes}
    return {number: memory for number, memory in found.items() if memory}


def _memory(process: psutil.Process) -> ProcessMemory | None:
    try:
        command, sizes, times = process.cmdline(), process.memory_full_info(), process.cpu_times()
        parent = process.parent()
        is_worker = "pyspark.daemon" in command and parent is not None and "pyspark.daemon" in parent.cmdline()
    except psutil.Error:
        return None
    return ProcessMemory(process_name(command), is_worker, sizes.rss, sizes.pss, times.user + times.system)
