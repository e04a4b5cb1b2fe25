"""chain_steps: the commands of a size of `--only chain`, in their order, each as Airflow runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.schemas.landed import PHOTO_AGE_ESTIMATES
from jobs.steps.order import REPORT, SPARK_STEPS, STEPS
from tests.benchmarks.chain_readers import ENGINES, QUESTIONS
from tests.benchmarks.chain_table import Part
from tests.benchmarks.measure_nights import BUSINESS_DATE, RUN_ID
from tests.benchmarks.spark_events import logging_options
from tests.benchmarks.turns import REPOSITORY

LANDING, ESTIMATES = "landing", "estimates"
LARGEST_INFERENCE = 1_000_000
"""Inference as a constant takes long and says little: it grows with photos only, so larger sizes do without."""
RUN_PY = REPOSITORY / "jobs" / "run.py"
CONSTANT_INFERENCE = REPOSITORY / "tests" / "benchmarks" / "constant_inference.py"
OPTIONS = ("--business-date", BUSINESS_DATE.isoformat(), "--run-id", RUN_ID)
PYTHON = (sys.executable, "-m")
EXECUTOR_MEMORY_MIB = 1024
"""Heap of the executor: half a gigabyte for each of two slots, as `checkout-ages plan` says."""


@dataclass(frozen=True)
class ChainStep:
    """A command to measure."""

    name: str
    part: Part
    command: tuple[str, ...]


@dataclass(frozen=True)
class Applications:
    """How Spark applications are submitted: the number of their task slots, and the folder of their event logs.

    Tasks run in an executor, a process of its own, so that the driver's memory is what it needs on a cluster too.
    """

    slots: int
    events: Path

    def submitted(self, name: str, application: Path) -> tuple[str, ...]:
        """Return the command by which Airflow's operator submits a step, with an event log."""
        # The option --executor-memory is not for this kind of master.
        memory = {"spark.executor.memory": f"{EXECUTOR_MEMORY_MIB}m"}
        properties = (f"{name}={value}" for name, value in (logging_options(self.events) | memory).items())
        options = [word for setting in properties for word in ("--conf", setting)]
        submit = str(Path(sys.prefix, "bin", "spark-submit"))
        master = f"local-cluster[1,{self.slots},{EXECUTOR_MEMORY_MIB}]"
        named = ("--master", master, "--name", f"checkout-ages {name}")
        return (submit, *named, *options, str(application), name, *OPTIONS)


def chain_steps(photos: int, applications: Applications) -> Iterator[ChainStep]:
    """Yield the landing, the steps of a night, and the estimates where inference would be."""
    yield ChainStep(LANDING, "preparation", _of_day(LANDING, photos))
    for name in (*STEPS, REPORT):
        if name != PHOTO_AGE_ESTIMATES.name:
            yield ChainStep(name, "night", _of_night(name, applications))
            continue
        if photos <= LARGEST_INFERENCE:
            yield ChainStep(name, "inference", applications.submitted(name, CONSTANT_INFERENCE))
        yield ChainStep(ESTIMATES, "preparation", _of_day(ESTIMATES, photos))


def reader_steps(file: Path, store_id: str, answer: Path) -> Iterator[ChainStep]:
    """Yield a reader for each question and engine. It writes its answer to a file."""
    for question in QUESTIONS:
        for engine in ENGINES:
            options = (engine, question, str(file), store_id, str(answer))
            command = (*PYTHON, "tests.benchmarks.chain_readers", *options)
            yield ChainStep(f"{engine}: {question}", "readers", command)


def _of_day(part: str, photos: int) -> tuple[str, ...]:
    return (*PYTHON, "tests.benchmarks.chain_day", part, str(photos))


def _of_night(name: str, applications: Applications) -> tuple[str, ...]:
    return applications.submitted(name, RUN_PY) if name in SPARK_STEPS else (*PYTHON, "jobs.run", name, *OPTIONS)
