"""chain_report: show the rows of `--only chain` as tables in a terminal, one for each size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.table import Table

from tests.benchmarks.chain_table import ChainRow

MEBIBYTE = 1024 * 1024
HEADINGS = (
    "seconds",
    "CPU s",
    "Python",
    "driver",
    "executor",
    "worker",
    "all",
    "spilled",
    "temporary",
    "rows",
    "files",
    "read",
)
CAPTION = (
    "Memory and files in MiB. Python: the process of the step; driver and executor: their JVMs; worker: the largest "
    "Python worker of Spark (all RSS); all: all processes at one time (PSS). Spilled: what Spark's tasks moved to the "
    "disk; temporary: largest size of temporary files, of Spark and of DuckDB. Rows and files: what the step wrote. "
    "The night is without landing, estimates and inference, its steps one after the other; memory is the most of any. "
    "A reader's seconds are those of its answer, without the start; read is what it asked the system for."
)


def chain_tables(rows: Sequence[ChainRow]) -> Iterator[Table]:
    """Yield a table for each size, in the order in which its steps were run, with a sum of the night."""
    for photos, of_size in groupby(sorted(rows, key=lambda row: row.photos), lambda row: row.photos):
        yield _table(photos, list(of_size))


def _table(photos: int, rows: Sequence[ChainRow]) -> Table:
    first = rows[0]
    title = f"{photos:,} photos, {first.cores} cores, Spark's driver with {first.driver_memory}"
    table = Table("part", "step", title=title, caption=CAPTION)
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.part, row.step, *_cells(row))
    if night := [row for row in rows if row.part == "night"]:
        table.add_section()
        table.add_row("night", "all", *_sums(night))
    return table


def _cells(row: ChainRow) -> list[str]:
    memory = (row.python_bytes, row.jvm_bytes, row.executor_bytes, row.worker_bytes, row.all_bytes)
    return [
        f"{row.seconds:,.1f}",
        f"{row.cpu_seconds:,.1f}",
        *map(_mebibytes, (*memory, row.spilled_bytes, row.temporary_bytes)),
        "" if row.rows is None else f"{row.rows:,}",
        _mebibytes(row.file_bytes),
        _mebibytes(row.read_bytes),
    ]


def _sums(night: Sequence[ChainRow]) -> list[str]:
    most = [
        max(getattr(row, name) or 0 for row in night)
        for name in ("python_bytes", "jvm_bytes", "executor_bytes", "worker_bytes", "all_bytes")
    ]
    return [
        f"{sum(row.seconds for row in night):,.1f}",
        f"{sum(row.cpu_seconds for row in night):,.1f}",
        *map(_mebibytes, most),
        _mebibytes(sum(row.spilled_bytes or 0 for row in night)),
        _mebibytes(max(row.temporary_bytes for row in night)),
    ]


def _mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / MEBIBYTE:,.1f}"
