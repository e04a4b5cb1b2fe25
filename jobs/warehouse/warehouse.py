"""warehouse: the class Warehouse, through which all other packages read, stage and publish tables.

    {warehouse}/{table}/business_date=D/part-0.parquet          published, one file per day
    {warehouse}/pipeline_runs/business_date=D/{run_id}.parquet  one file per run, written last
    {warehouse}/window_runs/business_date=D/{run_id}.parquet    the same for the second DAG: the window that ends on D
    {warehouse}/_staging/{run_id}/business_date=D/{table}/part-0.parquet    built, not yet published
    {warehouse}/_locks/business_date=D/NUMBER.json              who publishes that day: the highest number says it
    {warehouse}/_locks/window_runs/business_date=D/NUMBER.json  who publishes the window that ends on it
    {warehouse}/_rescored/{model_version}/…                     the tables of another model, in the same layout
    {warehouse}/_erased/business_date=D/…                       who was erased from that day, see `tombstones`
    {warehouse}/_retention/business_date=D.json                 photos that `retain` is about to delete

A night reads the tables of its own run from staging. Of the published tables it reads only two things: the day's own
estimates, which it reuses, and the rows in pipeline_runs of the days before, with which check_night compares the day.
No table depends on those rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.schemas.table import Table
from jobs.warehouse.layout import published_key
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.published_tables import PublishedTables
from jobs.warehouse.publishing_lock import PublishingLock
from jobs.warehouse.run_records import RunRecords
from jobs.warehouse.staging import NOTHING_TOLD, Origin, Staging

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Warehouse:
    """A warehouse as one run uses it: the tables that the run stages, all published tables, and the records of runs.

    `session` is needed to read or stage DataFrames, but not to check or publish. `try_number` is stored with what is
    staged. `model_version` is needed to stage tables that name the run's age model.
    """

    store: ObjectStore
    run_id: str
    session: SparkSession | None = None
    try_number: int | None = None
    model_version: str | None = None

    @property
    def staging(self) -> Staging:
        """The tables that the run has built and not yet published."""
        return Staging(self.store, self.run_id, self.session, self.try_number, self.model_version)

    @property
    def published(self) -> PublishedTables:
        """The published tables, which readers see."""
        return PublishedTables(self.store)

    @property
    def runs(self) -> RunRecords:
        """The records of this run and of all other runs."""
        return RunRecords(self.store, self.run_id)

    @property
    def spark(self) -> SparkSession:
        """The Spark session that reads and stages the tables."""
        return self.staging.spark

    def read(self, table: Table, business_date: date) -> DataFrame:
        """Read a staged table of the run as a DataFrame."""
        return self.staging.read(table, business_date)

    def stage(self, table: Table, business_date: date, rows: DataFrame, origin: Origin = NOTHING_TOLD) -> None:
        """Write a DataFrame to the run's staging; see `Staging.stage`."""
        self.staging.stage(table, business_date, rows, origin)

    def stage_arrow(self, table: Table, business_date: date, rows: pa.Table, origin: Origin = NOTHING_TOLD) -> None:
        """Write a small table from memory to the run's staging; see `Staging.stage_arrow`."""
        self.staging.stage_arrow(table, business_date, rows, origin)

    def read_published(self, table: Table, business_date: date) -> DataFrame | None:
        """Read a published day of a table as a DataFrame; None if the day is not published.

        A column is null if the table did not have it yet when the day was written.
        """
        from jobs.warehouse.arrow_frames import parquet_frame

        key = published_key(table, business_date)
        return parquet_frame(self.spark, self.store, key, table.schema) if self.store.exists(key) else None

    def promote(self, table: Table, business_date: date) -> None:
        """Publish a staged table in one atomic replace: readers see the old rows of the day, and then the new rows."""
        self.store.copy(self.staging.key(table, business_date), published_key(table, business_date))

    def publish(
        self, tables: Sequence[Table], business_date: date, run: dict[str, object], runs: Table, lock: PublishingLock
    ) -> None:
        """Publish staged tables and then the record of the run, in one of the tables of runs."""
        # The lock is renewed before each copy, so that a process that was overtaken stops at the next table.
        for table in tables:
            lock.renew()
            self.promote(table, business_date)
        lock.renew()
        # The commit mark comes last: a reader who finds it finds all tables of the run.
        self.runs.write(business_date, run, runs)

    def with_model(self, model_version: str) -> Warehouse:
        """Return the same warehouse for a run whose tables name this age model."""
        return replace(self, model_version=model_version)

    def rescored(self, model_version: str) -> Warehouse:
        """Return the warehouse of another model version, which lies below this one, for the same run."""
        below = replace(self.store, uri=self.store.location(f"_rescored/{model_version}"))
        return replace(self, store=below, model_version=model_version)

    def parquet_files(self, folder: str = "") -> list[str]:
        """Return the keys of all Parquet files below a folder, or of all, including staged and rescored tables."""
        return sorted(entry.key for entry in self.store.list(folder) if entry.key.endswith(".parquet"))

    @contextmanager
    def parquet_file(self, key: str) -> Iterator[pq.ParquetFile]:
        """Open one of `parquet_files`."""
        with self.store.reader(key) as stream:
            yield pq.ParquetFile(stream)
