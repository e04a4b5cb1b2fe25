"""measure_chain: measure nights of a national chain, of one to ten million photos and ten times as many receipt lines.

Photos are landed for the listing alone, and their estimates are written: see chain_day. Inference as a constant is run
up to LARGEST_INFERENCE photos, and is no part of the night's sum. Every other step of a night runs as in Airflow: a
process of its own, submitted to Spark where the step is a Spark application. Spark has the settings for large days, and
an executor of its own for its tasks. Steps run one after the other, where Airflow runs some at a time.

Everything is in one folder: the table of all rows, and for each size its landing and warehouse until all its rows are
there. So a run that was cut short goes on from there. The largest size is also read by DuckDB, Spark and pandas.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyspark
from rich.console import Console

from jobs.landing.deliveries import transactions_folder
from jobs.schemas.dictionary import NIGHT_TABLES, PUBLISHED_TABLES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.steps.order import BUILT_WITH, REPORT, SPARK_STEPS
from jobs.warehouse.layout import published_key
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks.chain_report import MEBIBYTE, chain_tables
from tests.benchmarks.chain_steps import ESTIMATES, LANDING, Applications, ChainStep, chain_steps, reader_steps
from tests.benchmarks.chain_table import ChainRow, ChainTable
from tests.benchmarks.large_day import store_count
from tests.benchmarks.measure_nights import BUSINESS_DATE, RUN_ID, environment
from tests.benchmarks.measured_run import measured_run
from tests.benchmarks.memory import EXECUTOR, JVM, PYTHON, WORKER
from tests.benchmarks.spark_events import spilled_bytes

DRIVER_MEMORY = "1g"
PUBLISH = "publish_night"


def measured_chain(
    sizes: tuple[int, ...],
    cores: tuple[int, ...],
    console: Console,
    folder: Path,
    driver_memory: str = DRIVER_MEMORY,
) -> list[dict[str, Any]]:
    """Return the rows of all sizes, those of earlier runs too. `sizes` are numbers of photos.

    Raises StepError when a step fails; the rows before it are kept.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    table = ChainTable(folder / "rows.jsonl")
    for photos in sorted(sizes):
        size = ChainSize(photos, folder / str(photos), cores, driver_memory, photos == max(sizes))
        for row in size.measured(table):
            console.print(_in_words(row), markup=False)
        console.print(*chain_tables([row for row in table.rows if row.photos == photos]))
    return [asdict(row) for row in table.rows]


@dataclass(frozen=True)
class ChainSize:
    """One size, with its landing and warehouse in a folder of its own."""

    photos: int
    folder: Path
    cores: tuple[int, ...]
    driver_memory: str
    is_read: bool
    """Whether DuckDB, Spark and pandas read its receipt lines."""

    def measured(self, table: ChainTable) -> Iterator[ChainRow]:
        """Measure the steps that the table does not have, and delete the size's files when it has all."""
        missing = self._missing(table)
        if not self.folder.exists():
            # Without its tables, a finished size can no longer be read, and an unfinished one begins from the start.
            if all(step.part == "readers" for step in missing):
                return
            table.forget(self.photos)
            missing = self._missing(table)
        for name in ("scratch", "events", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for step in missing:
            row = self._row(step)
            table.add(row)
            yield row
        shutil.rmtree(self.folder)

    def _missing(self, table: ChainTable) -> list[ChainStep]:
        measured = table.steps_of(self.photos)
        return [step for step in self._steps() if step.name not in measured]

    def _steps(self) -> Iterator[ChainStep]:
        yield from chain_steps(self.photos, Applications(len(self.cores), self.folder / "events"))
        if self.is_read:
            store_id = f"{store_count(self.photos) // 2 + 1:04}"  # in the middle of the file
            yield from reader_steps(self._lines_file, store_id, self._answer)

    def _row(self, step: ChainStep) -> ChainRow:
        """Run a step. Files that a killed one left behind are deleted first."""
        for name in ("scratch", "events"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        log = self.folder / "logs" / f"{step.name.replace(': ', '-')}.log"
        run = measured_run(step.name, step.command, self._variables, self.cores, log, self.folder / "scratch")
        figures: dict[str, Any] = {"seconds": round(run.seconds, 1), **self._files_of(step)}
        if step.part == "readers":
            answer = json.loads(self._answer.read_text())
            figures |= {"seconds": round(answer["seconds"], 3), "read_bytes": answer["read_bytes"]}
        return ChainRow(
            photos=self.photos,
            part=step.part,
            step=step.name,
            cpu_seconds=round(run.memory.cpu_seconds(), 1),
            python_bytes=run.memory.largest_bytes(PYTHON),
            jvm_bytes=run.memory.largest_bytes(JVM),
            executor_bytes=run.memory.largest_bytes(EXECUTOR),
            worker_bytes=run.memory.largest_bytes(WORKER),
            all_bytes=run.memory.peak_tree_bytes(),
            spilled_bytes=spilled_bytes(self.folder / "events") if step.name in SPARK_STEPS else None,
            temporary_bytes=run.peak_temporary_bytes,
            cores=len(self.cores),
            driver_memory=self.driver_memory,
            measured_on=f"{datetime.now(UTC):%Y-%m-%d}",
            **figures,
        )

    def _files_of(self, step: ChainStep) -> dict[str, int]:
        """Return the rows and bytes that a step wrote, or the bytes of the file that a reader read."""
        if step.part == "readers":
            return {"file_bytes": self._lines_file.stat().st_size}
        if step.name == LANDING:
            return {"file_bytes": _size(self._store("landing"), transactions_folder(BUSINESS_DATE))}
        if step.name == PUBLISH:
            return {"file_bytes": sum(_size(self._store("warehouse"), table.name) for table in PUBLISHED_TABLES)}
        if step.name == REPORT:
            return {"file_bytes": _size(self._store("warehouse"), "reports")}
        return self._staged_by(PHOTO_AGE_ESTIMATES.name if step.name == ESTIMATES else step.name)

    def _staged_by(self, step: str) -> dict[str, int]:
        staging = Warehouse(self._store("warehouse"), RUN_ID).staging
        tables = [table for table in NIGHT_TABLES if BUILT_WITH.get(table, table).name == step]
        staged = [staging.staged(table, BUSINESS_DATE) for table in tables]
        rows = sum(table.row_count for table in staged)
        return {"rows": rows, "file_bytes": sum(table.size_bytes or 0 for table in staged)} if staged else {}

    @cached_property
    def _variables(self) -> dict[str, str]:
        landing, warehouse = self._store("landing").uri, self._store("warehouse").uri
        spills = self.folder / "scratch" / "spark"
        variables = environment(os.environ, landing, warehouse, spills, len(self.cores), self.driver_memory)
        return variables | {"SPARK_HOME": str(_spark_home(self.folder / "spark"))}

    @property
    def _lines_file(self) -> Path:
        return self.folder / "warehouse" / published_key(TRANSACTION_LINES, BUSINESS_DATE)

    @property
    def _answer(self) -> Path:
        return self.folder / "answer.json"

    def _store(self, name: str) -> ObjectStore:
        return ObjectStore((self.folder / name).as_uri())


def _spark_home(folder: Path) -> Path:
    """Make a folder that stands for Spark's own, because executors write their logs to it."""
    folder.mkdir(exist_ok=True)
    for entry in Path(pyspark.__file__).resolve().parent.iterdir():
        if not (folder / entry.name).exists():
            (folder / entry.name).symlink_to(entry)
    return folder


def _size(store: ObjectStore, folder: str) -> int:
    return sum(entry.size_bytes for entry in store.list(folder))


def _in_words(row: ChainRow) -> str:
    memory = f"{row.all_bytes / MEBIBYTE:,.0f} MiB"
    return f"{row.photos:,} photos: {row.step}, {row.seconds:,.1f} s, {row.cpu_seconds:,.1f} CPU s, {memory}"
