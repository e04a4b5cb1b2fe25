"""run_records: reads and writes the commit marks of runs, one small file per run of a night, window or retention."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.schemas.runs import PIPELINE_RUNS, RETENTION_RUNS, WINDOW_RUNS
from jobs.schemas.table import Table
from jobs.warehouse.layout import parquet, partition
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.publishing_lock import PublishingLock
from jobs.warehouse.table_files import with_all_columns

PUBLISHED_UNDER_LOCK = {
    PIPELINE_RUNS.name: "business date",
    WINDOW_RUNS.name: "the window that ends on",
    RETENTION_RUNS.name: "the record of deleted photos of",
}


@dataclass(frozen=True)
class RunRecords:
    """The records of all runs in a warehouse, to which the current run (`run_id`) adds its own."""

    store: ObjectStore
    run_id: str

    def published(self, business_date: date) -> dict[str, Any] | None:
        """Return the row of pipeline_runs of the run that last published a day, or None if no run has."""
        return max(self.of_day(business_date), key=lambda run: run["published_at"], default=None)

    def before(self, business_date: date) -> dict[str, Any] | None:
        """Return the row of pipeline_runs of the last other run that published a day, or None if no other run has."""
        others = (run for run in self.of_day(business_date) if run["run_id"] != self.run_id)
        return max(others, key=lambda run: run["published_at"], default=None)

    def own(self, business_date: date) -> dict[str, Any] | None:
        """Return the current run's row of pipeline_runs, or None until it has published the day."""
        return next((run for run in self.of_day(business_date) if run["run_id"] == self.run_id), None)

    def of_day(self, business_date: date, runs: Table = PIPELINE_RUNS) -> list[dict[str, Any]]:
        """Return a day's rows of a table with one file per run, in no particular order; newer columns are null."""
        marks = self.store.list(f"{runs.name}/{partition(business_date)}")
        rows = (pq.read_table(pa.BufferReader(self.store.read(mark.key))) for mark in marks)
        return [run for row in rows for run in with_all_columns(row, runs.schema).to_pylist()]

    def trailing(self, business_date: date, days: int) -> pa.Table:
        """Return the last run of each published day among the `days` before a date, as rows of pipeline_runs."""
        earlier = (self.published(business_date - timedelta(days=number)) for number in range(1, days + 1))
        return pa.Table.from_pylist([run for run in earlier if run], PIPELINE_RUNS.schema)

    def write(self, business_date: date, run: dict[str, object], runs: Table = PIPELINE_RUNS) -> None:
        """Write the commit mark of the current run: one file with one row of the table of runs `runs`."""
        rows = pa.Table.from_pylist([run], schema=runs.schema)
        self.store.write(self._key(runs, business_date), parquet(rows))

    def has_own(self, business_date: date, runs: Table = PIPELINE_RUNS) -> bool:
        """Say whether the current run has written its commit mark to the table of runs `runs`."""
        return self.store.exists(self._key(runs, business_date))

    def lock(
        self, business_date: date, stale_seconds: float, runs: Table = PIPELINE_RUNS
    ) -> AbstractContextManager[PublishingLock]:
        """Hold, during the block, the lock that a process needs to publish a date.

        The tables of runs have a lock each: one for a day, one for the window that ends on it, one for its retention
        record. Raises PublishingLockError if another process holds the lock.
        """
        # Nights, windows and retentions of one day have locks of their own and do not wait for each other.
        folder = "_locks" if runs is PIPELINE_RUNS else f"_locks/{runs.name}"
        subject = f"{PUBLISHED_UNDER_LOCK[runs.name]} {business_date}"
        return PublishingLock(
            self.store, f"{folder}/{partition(business_date)}", subject, self.run_id, stale_seconds
        ).held()

    def _key(self, runs: Table, business_date: date) -> str:
        return f"{runs.name}/{partition(business_date)}/{self.run_id}.parquet"
