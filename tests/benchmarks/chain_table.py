"""chain_table: the measured rows of `--only chain`, one JSON object a line, in a file that is written as it goes.

A row is one process tree: a step of a night of a size, the preparation of the size, or a reader of its tables. A run
that was cut short keeps its rows, and the next one measures only what has none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Part = Literal["preparation", "inference", "night", "readers"]
"""Only the rows of `night` are what a night costs. `inference` is the step with a constant instead of the networks."""


@dataclass(frozen=True, kw_only=True)
class ChainRow:
    """What one process tree cost.

    `photos` is the size that was asked for; `rows` are those of the tables that the step staged, and `file_bytes` the
    bytes of its files. `seconds` begin with the start of the process; a reader's are those of its answer alone.
    """

    photos: int
    part: Part
    step: str
    seconds: float
    cpu_seconds: float
    python_bytes: int | None
    """Largest Python process that runs the step's own code: the driver of Spark, or the step itself (RSS)."""
    jvm_bytes: int | None
    """The JVM of Spark's driver (RSS)."""
    executor_bytes: int | None
    """The JVM of Spark's executor, which runs the tasks (RSS). None for a reader: its tasks run in the driver."""
    worker_bytes: int | None
    """Largest Python worker of Spark (RSS)."""
    all_bytes: int
    """All processes at one time (PSS)."""
    spilled_bytes: int | None
    """What Spark's tasks moved from memory to the disk; None for a step without Spark."""
    temporary_bytes: int
    """Largest size of temporary files at one time: of Spark's shuffles, cache and spills, and of DuckDB."""
    rows: int | None = None
    file_bytes: int | None = None
    read_bytes: int | None = None
    """What a reader asked the system for."""
    cores: int
    driver_memory: str
    measured_on: str


class ChainTable:
    """The rows in a file of JSON lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else ()
        self.rows = [ChainRow(**json.loads(line)) for line in lines]

    def add(self, row: ChainRow) -> None:
        """Add a row, to the file at once."""
        self.rows.append(row)
        with self._file.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")

    def steps_of(self, photos: int) -> set[str]:
        """Return the steps of a size that are measured."""
        return {row.step for row in self.rows if row.photos == photos}

    def forget(self, photos: int) -> None:
        """Delete the rows of a size whose tables are gone, because its other steps cannot be run without them."""
        self.rows = [row for row in self.rows if row.photos != photos]
        rest = self._file.with_suffix(".new")
        rest.write_text("".join(json.dumps(asdict(row)) + "\n" for row in self.rows))
        rest.replace(self._file)
