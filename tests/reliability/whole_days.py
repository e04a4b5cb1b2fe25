"""whole_days: identify exactly which run's day readers see, and poll it with a DuckDB reader in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import duckdb

from jobs.schemas.table import Table
from tests.given.rows import BUSINESS_DATE
from tests.servers.duckdb_s3 import connect_over_s3

Content = tuple[object, ...]
"""For a table: its row count, the hash of all columns of all rows, and its run. For the commit marks: their runs."""

OLD = "old"
SECONDS_BETWEEN_POLLS = 0.01
TRIES = 5
"""DuckDB opens a file for its footer and again for its rows. If the file is replaced in between, the read may fail with
an error. jobs/tables/README.md promises that a retry then succeeds."""


@dataclass(frozen=True)
class Day:
    """A published day of some tables with their commit marks: its place, and its content after each run."""

    warehouse_uri: str
    tables: tuple[Table, ...]
    marks: Table
    of_runs: Mapping[str, Mapping[str, Content]] = field(default_factory=dict)

    def contents(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Content]:
        """Read the commit marks, then every table, by a glob as an analyst does."""
        runs = connection.sql(f"SELECT run_id FROM {self._files(self.marks)} ORDER BY 1").fetchall()
        read: dict[str, Content] = {self.marks.name: tuple(run_id for (run_id,) in runs)}
        for table in self.tables:
            read[table.name] = connection.sql(
                f"SELECT count(*), sum(hash(rows)::HUGEINT), min(run_id), max(run_id) FROM {self._files(table)} AS rows"
            ).fetchall()[0]
        return read

    def faults(self, contents: Mapping[str, Content], *runs: str) -> list[str]:
        """Name the tables that do not show the complete day of one run, or that show the old day after a new commit.

        With `runs`, tables may only show days of these runs.
        """
        is_committed = set(contents[self.marks.name]) != {OLD}
        shown = runs or [run for run in self.of_runs if run != OLD or not is_committed]
        return [
            f"{table.name} shows {contents[table.name]}"
            for table in self.tables
            if contents[table.name] not in [self.of_runs[run][table.name] for run in shown]
        ]

    def _files(self, table: Table) -> str:
        return f"read_parquet('{self.warehouse_uri}/{table.name}/business_date={BUSINESS_DATE}/*.parquet')"


@contextmanager
def connected(uri: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB for local files or S3, without a cache of earlier file contents."""
    with connect_over_s3() if uri.startswith("s3:") else duckdb.connect() as connection:
        connection.execute("SET enable_external_file_cache = false")
        connection.execute("SET threads = 1")
        yield connection


class Reader:
    """Polls all tables of one day, over and over, in a thread."""

    def __init__(self) -> None:
        self.polls = 0
        self.retries = 0
        self._torn: list[str] = []
        self._day: Day | None = None
        self._between_polls = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, day: Day | None) -> list[str]:
        """Poll another day from now on; return the torn reads of the day before."""
        with self._between_polls:
            torn, self._torn, self._day = self._torn, [], day
            return torn

    def poll_until(self, polls: int) -> None:
        """Wait until this many polls are done in total."""
        while self.polls < polls and self._thread.is_alive():
            time.sleep(SECONDS_BETWEEN_POLLS)

    def _run(self) -> None:
        connections: dict[bool, duckdb.DuckDBPyConnection] = {}
        with ExitStack() as stack:
            while not self._ended.wait(SECONDS_BETWEEN_POLLS):
                with self._between_polls:
                    if day := self._day:
                        is_s3 = day.warehouse_uri.startswith("s3:")
                        if is_s3 not in connections:
                            connections[is_s3] = stack.enter_context(connected(day.warehouse_uri))
                        self._poll(day, connections[is_s3])

    def _poll(self, day: Day, connection: duckdb.DuckDBPyConnection) -> None:
        self.polls += 1
        for remaining in reversed(range(TRIES)):
            try:
                self._torn += day.faults(day.contents(connection))
                return
            except Exception as error:  # DuckDB raises many kinds of errors for a torn file
                if remaining:
                    self.retries += 1
                else:
                    self._torn.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
