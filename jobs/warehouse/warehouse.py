"""warehouse: reads, stages and publishes one day of a table; the only module that touches tables.

    {warehouse}/{table}/business_date=D/part-0.parquet          published, one file a day
    {warehouse}/pipeline_runs/business_date=D/{run_id}.parquet  one file a run, written last
    {warehouse}/window_runs/business_date=D/{run_id}.parquet    the same of the second DAG: the window that ends on D
    {warehouse}/_staging/{run_id}/business_date=D/{table}/part-0.parquet    built, not yet published
    {warehouse}/_locks/business_date=D/NUMBER.json              who publishes that day: the highest number says it
    {warehouse}/_locks/window_runs/business_date=D/NUMBER.json  who publishes the window that ends on it
    {warehouse}/_rescored/{model_version}/…                     a warehouse of another model's tables, laid out likewise
    {warehouse}/_erased/business_date=D/…                       who was erased from that day, see `erased`
    {warehouse}/_retention/business_date=D.json                 photos that `retain` is about to delete

A night reads the tables of its own run from staging; of what is published it reads only the day's own estimates, which
it takes over rather than infer them again, and the rows in pipeline_runs of the days before, with which check_night
compares it and on which no table depends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import InputError
from jobs.schemas.runs import PIPELINE_RUNS, RETENTION_RUNS, WINDOW_RUNS
from jobs.schemas.table import Table
from jobs.spark import refuse_folder_of_this_machine
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.publishing_lock import PublishingLock
from jobs.warehouse.table_files import content_digest, write_table_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


PUBLISHED_UNDER_LOCK = {
    PIPELINE_RUNS.name: "business date",
    WINDOW_RUNS.name: "the window that ends on",
    RETENTION_RUNS.name: "the record of deleted photos of",
}


@dataclass(frozen=True)
class StagedTable:
    """A table that a run has built: its rows, what building it took, and the digest of what the rows say.

    `erasure_count` is how many erasures of the day were respected, `erased_line_count` how many landed receipt lines
    were left out for them. `receipts_digest` tells which receipt files the rows were read from, for tables of them.
    `try_number` is the try of the task that built it, 1 for the first, None where nobody counts tries.
    """

    row_count: int
    seconds: float
    content_digest: str
    erasure_count: int = 0
    erased_line_count: int = 0
    receipts_digest: str | None = None
    try_number: int | None = None


@dataclass(frozen=True)
class Warehouse:
    """The tables of one night run.

    `session` is needed to read or stage DataFrames, not to check or publish; `try_number` is kept with what is staged.
    """

    store: ObjectStore
    run_id: str
    session: SparkSession | None = None
    try_number: int | None = None

    def read(self, table: Table, business_date: date) -> DataFrame:
        """Return the run's staged rows of a table."""
        self.staged(table, business_date)
        return self._load(table, self._staged_key(table, business_date))

    def read_published(self, table: Table, business_date: date) -> DataFrame | None:
        """Return the rows of a table that readers see for a day, None when the day is not published.

        A column that the table did not have yet when the day was written is null.
        """
        key = _published_key(table, business_date)
        return self._load(table, key) if self.store.exists(key) else None

    def stage(
        self,
        table: Table,
        business_date: date,
        rows: DataFrame,
        *,
        erasure_count: int = 0,
        erased_line_count: int = 0,
        receipts_digest: str | None = None,
    ) -> None:
        """Conform rows to the table's schema, sort them by its key, write them to the run's staging.

        A check that the run has passed is withdrawn: what comes after it was not looked at. Raises when a column is
        missing or of another type, or a key is null or there twice.
        """
        from pyspark.sql import functions as F
        from pyspark.sql.pandas.types import from_arrow_schema

        from jobs.warehouse.arrow_frames import write_parquet

        refuse_folder_of_this_machine(self.spark, self.store.uri)
        self.withdraw_check(business_date)
        started = time.monotonic()
        if missing := set(table.column_names) - {*rows.columns, "run_id"}:
            raise ValueError(f"table '{table.name}' lacks columns {sorted(missing)}")
        conformed = rows.withColumn("run_id", F.lit(self.run_id)).to(from_arrow_schema(table.schema))
        attempts = f"{self._staging(business_date)}/_attempts"
        write_parquet(conformed, self.store, self._staged_key(table, business_date), table, attempts)
        seconds = time.monotonic() - started
        self._mark_staged(table, business_date, seconds, erasure_count, erased_line_count, receipts_digest)

    def stage_arrow(self, table: Table, business_date: date, rows: pa.Table, *, erasure_count: int = 0) -> None:
        """Write a small table's rows from memory to the run's staging. Raises as `stage` does."""
        sorted_rows = rows.sort_by([(name, "ascending") for name in table.key])
        self.stage_batches(table, business_date, sorted_rows.to_batches(), erasure_count=erasure_count)

    def stage_batches(
        self, table: Table, business_date: date, batches: Iterable[pa.RecordBatch], *, erasure_count: int = 0
    ) -> None:
        """Write batches of rows, in the order of the table's key, to the run's staging. Raises as `stage` does."""
        self.withdraw_check(business_date)
        started = time.monotonic()
        run_id = pa.scalar(self.run_id, pa.string())
        own_batches = (batch.append_column("run_id", pa.repeat(run_id, batch.num_rows)) for batch in batches)
        write_table_file(self.store, self._staged_key(table, business_date), table, own_batches)
        self._mark_staged(table, business_date, time.monotonic() - started, erasure_count)

    def staged(self, table: Table, business_date: date) -> StagedTable:
        """Return what is known of a staged table; InputError when the run has not staged it."""
        try:
            return StagedTable(**json.loads(self.store.read(self._staged_mark(table, business_date))))
        except FileNotFoundError:
            raise InputError(
                f"table '{table.name}' of run '{self.run_id}' is not staged; run its task first "
                "(staging goes when a run is published: to redo one, clear all its tasks)"
            ) from None

    def read_arrow(self, table: Table, business_date: date, columns: list[str]) -> pa.Table:
        """Return some columns of a staged table in memory."""
        self.staged(table, business_date)
        with self.store.reader(self._staged_key(table, business_date)) as stream:
            return pq.ParquetFile(stream).read(columns=columns)

    def staged_schema(self, table: Table, business_date: date) -> pa.Schema:
        """Return the Arrow schema that a staged table was written with."""
        self.staged(table, business_date)
        with self.store.reader(self._staged_key(table, business_date)) as stream:
            return pq.read_schema(stream)

    @contextmanager
    def staged_batches(
        self, table: Table, business_date: date, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatchReader]:
        """Open some columns of a staged table as a stream of batches, for tables that are too large for memory."""
        self.staged(table, business_date)
        with self.store.reader(self._staged_key(table, business_date)) as stream:
            parquet = pq.ParquetFile(stream)
            schema = pa.schema([parquet.schema_arrow.field(name) for name in columns])
            yield pa.RecordBatchReader.from_batches(schema, parquet.iter_batches(columns=list(columns)))

    def staged_location(self, table: Table, business_date: date) -> str:
        """Return where the run's staged rows of a table lie, for messages and queries."""
        return self.store.location(self._staged_key(table, business_date))

    def read_published_arrow(self, table: Table, business_date: date, columns: list[str]) -> pa.Table | None:
        """Return some columns of a published table in memory, None when the day is not published."""
        key = _published_key(table, business_date)
        if not self.store.exists(key):
            return None
        with self.store.reader(key) as stream:
            return pq.ParquetFile(stream).read(columns=columns)

    def read_published_days(self, table: Table, days: Iterable[date], columns: list[str]) -> dict[date, pa.Table]:
        """Return some columns of a published table in memory, for those of the days that are published."""
        rows = {day: self.read_published_arrow(table, day, columns) for day in days}
        return {day: rows_of_day for day, rows_of_day in rows.items() if rows_of_day is not None}

    def published_dates(self, table: Table) -> list[date]:
        """Return the business dates of a table that readers see, in order."""
        folders, _ = self.store.list_folder(table.name)
        dates = sorted(date.fromisoformat(folder.rpartition("=")[2]) for folder in folders)
        return [day for day in dates if self.has_published(table, day)]

    def published_run_id(self, table: Table, business_date: date) -> str | None:
        """Return the run whose rows readers see of a table's day, None when there are no rows."""
        key = _published_key(table, business_date)
        if not self.store.exists(key):
            return None
        with self.parquet_file(key) as parquet:
            first = next(parquet.iter_batches(batch_size=1, columns=["run_id"]), None)
        return first["run_id"][0].as_py() if first else None

    def published_row_count(self, table: Table, business_date: date) -> int:
        """Return how many rows of a table readers see for a published day."""
        return self._row_count(_published_key(table, business_date))

    def parquet_files(self, folder: str = "") -> list[str]:
        """Return the keys of all Parquet files, staged and rescored ones among them, or of those below a folder."""
        return sorted(entry.key for entry in self.store.list(folder) if entry.key.endswith(".parquet"))

    @contextmanager
    def parquet_file(self, key: str) -> Iterator[pq.ParquetFile]:
        """Open one of `parquet_files`."""
        with self.store.reader(key) as stream:
            yield pq.ParquetFile(stream)

    def has_published(self, table: Table, business_date: date) -> bool:
        """Say whether readers see the table's day."""
        return self.store.exists(_published_key(table, business_date))

    def published_run(self, business_date: date) -> dict[str, Any] | None:
        """Return the row in pipeline_runs of the run that published a day last, None when none has."""
        return max(self.runs(business_date), key=lambda run: run["published_at"], default=None)

    def run_before(self, business_date: date) -> dict[str, Any] | None:
        """Return the row in pipeline_runs of the last run that published a day other than this one."""
        others = (run for run in self.runs(business_date) if run["run_id"] != self.run_id)
        return max(others, key=lambda run: run["published_at"], default=None)

    def own_run(self, business_date: date) -> dict[str, Any] | None:
        """Return this run's row in pipeline_runs, None until it is published."""
        return next((run for run in self.runs(business_date) if run["run_id"] == self.run_id), None)

    def runs(self, business_date: date, runs: Table = PIPELINE_RUNS) -> list[dict[str, Any]]:
        """Return the rows of a table that has one file a run, in no particular order."""
        marks = self.store.list(f"{runs.name}/{_partition(business_date)}")
        return [run for mark in marks for run in pq.read_table(pa.BufferReader(self.store.read(mark.key))).to_pylist()]

    def trailing_runs(self, business_date: date, days: int) -> pa.Table:
        """Return the row in pipeline_runs of each of so many days before a date that is published."""
        earlier = (self.published_run(business_date - timedelta(days=number)) for number in range(1, days + 1))
        return pa.Table.from_pylist([run for run in earlier if run], PIPELINE_RUNS.schema)

    def rescored(self, model_version: str) -> Warehouse:
        """Return the warehouse below this one that holds the tables of another model version, for the same run."""
        return replace(self, store=ObjectStore(self.store.location(f"_rescored/{model_version}")))

    def publish_arrow(self, table: Table, business_date: date, rows: pa.Table) -> None:
        """Publish a small table's day from memory, in one atomic replace. Raises when the schema is another."""
        self.store.write(_published_key(table, business_date), _parquet(rows.cast(table.schema)))

    def location(self, table: Table) -> str:
        """Return where all days of a published table lie, as a glob for readers."""
        return self.store.location(f"{table.name}/business_date=*/part-0.parquet")

    def promote(self, table: Table, business_date: date) -> None:
        """Publish a staged table: its day shows the old rows until this returns, the new rows after."""
        self.staged(table, business_date)
        self.store.copy(self._staged_key(table, business_date), _published_key(table, business_date))

    def write_pipeline_run(self, business_date: date, run: dict[str, object], runs: Table = PIPELINE_RUNS) -> None:
        """Write the commit mark of the run, one file of one row."""
        rows = pa.Table.from_pylist([run], schema=runs.schema)
        self.store.write(self._run_key(runs, business_date), _parquet(rows))

    def is_published(self, business_date: date, runs: Table = PIPELINE_RUNS) -> bool:
        """Say whether this run has its commit mark in the table of such runs."""
        return self.store.exists(self._run_key(runs, business_date))

    def plan_window(self, last_date: date) -> None:
        """Put down that this run builds the window that ends on a date."""
        self.store.write(f"{self._staging(last_date)}/_PLANNED", b"")

    def planned_windows(self) -> list[date]:
        """Return the last dates of the windows that this run has planned and not published yet, in order."""
        folders, _ = self.store.list_folder(f"_staging/{self.run_id}")
        return sorted(date.fromisoformat(folder.rpartition("business_date=")[2]) for folder in folders)

    def mark_checked(self, business_date: date, warnings: list[str]) -> None:
        """Record that the staged tables passed check_night, and with which warnings."""
        self.store.write(self._check_mark(business_date), json.dumps(warnings).encode())

    def check_warnings(self, business_date: date) -> list[str] | None:
        """Return the warnings of a passed check_night, None when none has passed."""
        try:
            warnings: list[str] = json.loads(self.store.read(self._check_mark(business_date)))
        except FileNotFoundError:
            return None
        return warnings

    def withdraw_check(self, business_date: date) -> None:
        """Forget an earlier check_night of this run, so that what it did not see is never published."""
        self.store.delete([self._check_mark(business_date)])

    def drop_staging(self, business_date: date) -> None:
        """Delete all that the run has staged, the passed check first, so that half of it is never published."""
        self.withdraw_check(business_date)
        self.store.delete_folder(self._staging(business_date))

    def drop_staging_of_others(self, dates: Collection[date], table: Table | None = None) -> None:
        """Delete what other runs have staged for the dates; given a table, only where they have staged that one."""
        for run_folder in self.store.list_folder("_staging")[0]:
            other = replace(self, run_id=run_folder.rpartition("/")[2])
            days = set(other.planned_windows()) & set(dates) if other.run_id != self.run_id else set()
            for day in days:
                if table is None or self.store.exists(other._staged_mark(table, day)):
                    other.drop_staging(day)

    def sweep(self, before: datetime) -> dict[str, datetime]:
        """Delete what dead runs left before a moment: staging that was last written to then, files half written.

        Return the runs swept, never this one, with the moment when each last wrote.
        """
        swept = {}
        for folder in self.store.list_folder("_staging")[0]:
            run_id = folder.rpartition("/")[2]
            last_written = max((entry.modified_at for entry in self.store.list(folder)), default=None)
            if run_id == self.run_id or (last_written and last_written >= before):
                continue
            self.store.delete_folder(folder)
            if last_written:
                swept[run_id] = last_written
        self.store.delete_unfinished(before)
        return swept

    def lock(
        self, business_date: date, stale_seconds: float, runs: Table = PIPELINE_RUNS
    ) -> AbstractContextManager[PublishingLock]:
        """Hold the right to publish what has its commit mark in `runs`: a day, the window that ends on it, a record.

        Raises PublishingLockError naming the holder and how long ago it was heard of.
        """
        folder = "_locks" if runs is PIPELINE_RUNS else f"_locks/{runs.name}"
        subject = f"{PUBLISHED_UNDER_LOCK[runs.name]} {business_date}"
        return PublishingLock(
            self.store, f"{folder}/{_partition(business_date)}", subject, self.run_id, stale_seconds
        ).held()

    def _load(self, table: Table, key: str) -> DataFrame:
        from jobs.warehouse.arrow_frames import parquet_frame

        return parquet_frame(self.spark, self.store, key, table.schema)

    def _mark_staged(
        self,
        table: Table,
        business_date: date,
        seconds: float,
        erasure_count: int = 0,
        erased_line_count: int = 0,
        receipts_digest: str | None = None,
    ) -> None:
        with self.store.reader(self._staged_key(table, business_date)) as stream:
            parquet = pq.ParquetFile(stream)
            row_count, digest = parquet.metadata.num_rows, content_digest(parquet)
        origin = (erasure_count, erased_line_count, receipts_digest, self.try_number)
        mark = StagedTable(row_count, round(seconds, 3), digest, *origin)
        self.store.write(self._staged_mark(table, business_date), json.dumps(asdict(mark)).encode())

    def _row_count(self, key: str) -> int:
        with self.store.reader(key) as stream:
            return int(pq.ParquetFile(stream).metadata.num_rows)

    def _staged_key(self, table: Table, business_date: date) -> str:
        return f"{self._staging(business_date)}/{table.name}/part-0.parquet"

    def _staged_mark(self, table: Table, business_date: date) -> str:
        return f"{self._staging(business_date)}/{table.name}/_STAGED.json"

    def _run_key(self, runs: Table, business_date: date) -> str:
        return f"{runs.name}/{_partition(business_date)}/{self.run_id}.parquet"

    def _check_mark(self, business_date: date) -> str:
        return f"{self._staging(business_date)}/_CHECKED.json"

    def _staging(self, business_date: date) -> str:
        return f"_staging/{self.run_id}/{_partition(business_date)}"

    @property
    def spark(self) -> SparkSession:
        """The session that reads and stages."""
        if self.session is None:
            raise RuntimeError("this Warehouse was opened without Spark; it can check and publish only")
        return self.session


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    contents: bytes = sink.getvalue().to_pybytes()
    return contents


def _published_key(table: Table, business_date: date) -> str:
    return f"{table.name}/{_partition(business_date)}/part-0.parquet"


def _partition(business_date: date) -> str:
    return f"business_date={business_date.isoformat()}"
