"""staging: reads and writes the staged tables of a run: tables that it has built and not yet published."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import InputError
from jobs.schemas.table import Table
from jobs.spark import refuse_folder_of_this_machine
from jobs.warehouse.layout import partition
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.parquet_batches import parquet_batches
from jobs.warehouse.table_files import TableFile, write_table_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Facts about the input of staged rows, which the task that stages them reports.

    `erasure_count` is the number of erased people whom the task left out of the day, `erased_line_count` the number
    of their receipt lines. For tables of receipt lines, `receipts_digest` identifies the receipt files that were read.
    """

    erasure_count: int = 0
    erased_line_count: int = 0
    receipts_digest: str | None = None


NOTHING_TOLD = Origin()


@dataclass(frozen=True, kw_only=True)
class StagedTable(Origin, TableFile):
    """Facts about one staged table: its input, its file, and the seconds that it took.

    `try_number` says at which try the task built it, from 1; None without Airflow, which counts tries.
    """

    seconds: float
    try_number: int | None = None


@dataclass(frozen=True)
class Failure:
    """Why a day of a backfill was not published. `is_final`: the same staged tables would fail again."""

    reason: str
    is_final: bool


@dataclass(frozen=True)
class Staging:
    """The staging of one run. `session` is needed for DataFrames only; `try_number` is stored with what is staged.

    `model_version` is needed for tables that name the run's age model.
    """

    store: ObjectStore
    run_id: str
    session: SparkSession | None = None
    try_number: int | None = None
    model_version: str | None = None

    def read(self, table: Table, business_date: date) -> DataFrame:
        """Read a staged table of the run as a DataFrame."""
        from jobs.warehouse.arrow_frames import parquet_frame

        self.staged(table, business_date)
        return parquet_frame(self.spark, self.store, self.key(table, business_date), table.schema)

    def stage(self, table: Table, business_date: date, rows: DataFrame, origin: Origin = NOTHING_TOLD) -> None:
        """Convert a DataFrame to the table's schema, sort it by the key, and write it to the run's staging.

        The run adds its run_id, and its model_version where the table has that column and the rows do not.
        If the run has passed a check, the pass is withdrawn: the check has not seen these rows. Raises when a column is
        missing or of another type, or a key is null or occurs twice.
        """
        from pyspark.sql import functions as F
        from pyspark.sql.pandas.types import from_arrow_schema

        from jobs.warehouse.arrow_frames import write_parquet

        refuse_folder_of_this_machine(self.spark, self.store.uri)
        self.withdraw_check(business_date)
        started = time.monotonic()
        names_of_run = self._names_of_run(table, rows.columns)
        if missing := set(table.column_names) - {*rows.columns, *names_of_run}:
            raise ValueError(f"table '{table.name}' lacks columns {sorted(missing)}")
        named = rows.withColumns({name: F.lit(value) for name, value in names_of_run.items()})
        # `.to` selects the columns of the schema in its order, and refuses a type that does not fit.
        conformed = named.to(from_arrow_schema(table.schema))
        attempts = f"{self._folder(business_date)}/_attempts"
        file = write_parquet(conformed, self.store, self.key(table, business_date), table, attempts)
        # Marked after the rows are written: a task that is killed before has not staged the table.
        self._mark_staged(table, business_date, file, time.monotonic() - started, origin)

    def stage_arrow(self, table: Table, business_date: date, rows: pa.Table, origin: Origin = NOTHING_TOLD) -> None:
        """Write a small table from memory to the run's staging. Raises as `stage` does."""
        sorted_rows = rows.sort_by([(name, "ascending") for name in table.key])
        self.stage_batches(table, business_date, sorted_rows.to_batches(), origin)

    def stage_batches(
        self, table: Table, business_date: date, batches: Iterable[pa.RecordBatch], origin: Origin = NOTHING_TOLD
    ) -> None:
        """Write batches of rows, already sorted by the table's key, to the run's staging. Raises as `stage` does."""
        self.withdraw_check(business_date)
        started = time.monotonic()
        named_batches = (self._named(table, batch) for batch in batches)
        file = write_table_file(self.store, self.key(table, business_date), table, named_batches)
        self._mark_staged(table, business_date, file, time.monotonic() - started, origin)

    def staged(self, table: Table, business_date: date) -> StagedTable:
        """Return row count, seconds, digest and so on of a staged table. Raises InputError if it is not staged."""
        try:
            return StagedTable(**json.loads(self.store.read(self._staged_mark(table, business_date))))
        except FileNotFoundError:
            raise self._not_staged(table) from None

    def is_staged(self, table: Table, business_date: date) -> bool:
        """Say whether the run has staged a table whole."""
        return self.store.exists(self._staged_mark(table, business_date))

    def read_arrow(self, table: Table, business_date: date, columns: list[str]) -> pa.Table:
        """Read some columns of a staged table into memory."""
        with self._opened(table, business_date) as staged:
            return staged.read(columns=columns)

    def schema(self, table: Table, business_date: date) -> pa.Schema:
        """Return the Arrow schema of a staged table's file."""
        with self._opened(table, business_date) as staged:
            return staged.schema_arrow

    @contextmanager
    def batches(self, table: Table, business_date: date, columns: Sequence[str]) -> Iterator[pa.RecordBatchReader]:
        """Read some columns of a staged table as a stream of batches, for tables that are too large for memory.

        Columns that the file does not have are left out.
        """
        with self._opened(table, business_date) as staged:
            schema = pa.schema(
                [staged.schema_arrow.field(name) for name in columns if name in staged.schema_arrow.names]
            )
            yield pa.RecordBatchReader.from_batches(schema, parquet_batches(staged, schema.names))

    def location(self, table: Table, business_date: date) -> str:
        """Return the URI of a staged table of the run, for messages and queries."""
        return self.store.location(self.key(table, business_date))

    def plan_window(self, last_date: date) -> None:
        """Record that this run will build the window that ends on a date."""
        self.store.write(f"{self._folder(last_date)}/_PLANNED", b"")

    def planned_windows(self) -> list[date]:
        """Return the last dates of the windows that this run has planned and not yet published, in order."""
        folders, _ = self.store.list_folder(f"_staging/{self.run_id}")
        return sorted(date.fromisoformat(folder.rpartition("business_date=")[2]) for folder in folders)

    def mark_checked(self, business_date: date, warnings: list[str]) -> None:
        """Record that the staged tables passed check_night or check_window, and the check's warnings."""
        self.store.write(self._check_mark(business_date), json.dumps(warnings).encode())

    def check_warnings(self, business_date: date) -> list[str] | None:
        """Return the warnings of the passed check, or None if the staged tables have not passed one."""
        try:
            warnings: list[str] = json.loads(self.store.read(self._check_mark(business_date)))
        except FileNotFoundError:
            return None
        return warnings

    def withdraw_check(self, business_date: date) -> None:
        """Delete the record that this run passed its checks, so that unchecked rows are never published."""
        self.store.delete([self._check_mark(business_date)])

    def mark_failed(self, business_date: date, failure: Failure) -> None:
        """Record why a day of a backfill was not published."""
        self.store.write(self._failed_mark(business_date), json.dumps(asdict(failure)).encode())

    def failure(self, business_date: date) -> Failure | None:
        """Return why the last try of a day was not published, None when it was not tried or was killed."""
        try:
            return Failure(**json.loads(self.store.read(self._failed_mark(business_date))))
        except FileNotFoundError:
            return None

    def forget_failure(self, business_date: date) -> None:
        """Delete the record of a failed try."""
        self.store.delete([self._failed_mark(business_date)])

    def note_settings(self, settings: Mapping[str, object]) -> dict[str, object]:
        """Store the settings with which a run of many days begins; return those with which it did begin."""
        key = f"_staging/{self.run_id}/_SETTINGS.json"
        # `create` leaves an existing object as it is, so the first process decides, however many start.
        self.store.create(key, json.dumps(settings).encode())
        begun_with: dict[str, object] = json.loads(self.store.read(key))
        return begun_with

    def drop_settings(self) -> None:
        """Delete the noted settings, when a run of many days has ended."""
        self.store.delete([f"_staging/{self.run_id}/_SETTINGS.json"])

    def drop(self, business_date: date) -> None:
        """Delete all staged tables of the run for a date, the record of its checks first."""
        self.withdraw_check(business_date)
        self.store.delete_folder(self._folder(business_date))

    def drop_of_others(self, dates: Collection[date], table: Table | None = None) -> None:
        """Delete the staging of other runs for some dates; if a table is given, only of runs that staged that table."""
        for run_folder in self.store.list_folder("_staging")[0]:
            other = replace(self, run_id=run_folder.rpartition("/")[2])
            days = set(other.planned_windows()) & set(dates) if other.run_id != self.run_id else set()
            for day in days:
                if table is None or self.store.exists(other._staged_mark(table, day)):
                    other.drop(day)

    def sweep(self, before: datetime) -> dict[str, datetime]:
        """Delete leftovers of other, dead runs: staging last written before a moment, and older half written files.

        Returns the runs with deleted staging, each with the moment when it last wrote there.
        """
        swept = {}
        for folder in self.store.list_folder("_staging")[0]:
            run_id = folder.rpartition("/")[2]
            last_written = max((entry.modified_at for entry in self.store.list(folder)), default=None)
            # An empty folder has no last write; it is left over from a deletion and is deleted too.
            if run_id == self.run_id or (last_written and last_written >= before):
                continue
            self.store.delete_folder(folder)
            if last_written:
                swept[run_id] = last_written
        self.store.delete_unfinished(before)
        return swept

    def _names_of_run(self, table: Table, row_columns: Sequence[str]) -> dict[str, str]:
        """Return the columns that say which run made the rows, by which model; rows that name a model keep it."""
        lacks_model = "model_version" in table.column_names and "model_version" not in row_columns
        of_model = {"model_version": self.model_version} if lacks_model and self.model_version else {}
        return {"run_id": self.run_id} | of_model

    def _named(self, table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
        for name, value in self._names_of_run(table, batch.schema.names).items():
            batch = batch.append_column(name, pa.repeat(pa.scalar(value, pa.string()), batch.num_rows))
        return batch

    @contextmanager
    def _opened(self, table: Table, business_date: date) -> Iterator[pq.ParquetFile]:
        try:
            with self.store.reader(self.key(table, business_date)) as stream:
                yield pq.ParquetFile(stream)
        except FileNotFoundError:
            raise self._not_staged(table) from None

    def _not_staged(self, table: Table) -> InputError:
        return InputError(
            f"table '{table.name}' of run '{self.run_id}' is not staged; run its task first "
            "(publishing a run deletes its staging: to repeat a published run, clear all its tasks)"
        )

    def _mark_staged(self, table: Table, business_date: date, file: TableFile, seconds: float, origin: Origin) -> None:
        mark = StagedTable(**asdict(origin), **asdict(file), seconds=round(seconds, 3), try_number=self.try_number)
        self.store.write(self._staged_mark(table, business_date), json.dumps(asdict(mark)).encode())

    def key(self, table: Table, business_date: date) -> str:
        """Return the key of the object that holds a staged table of the run."""
        return f"{self._folder(business_date)}/{table.name}/part-0.parquet"

    def _staged_mark(self, table: Table, business_date: date) -> str:
        return f"{self._folder(business_date)}/{table.name}/_STAGED.json"

    def _check_mark(self, business_date: date) -> str:
        return f"{self._folder(business_date)}/_CHECKED.json"

    def _failed_mark(self, business_date: date) -> str:
        return f"{self._folder(business_date)}/_FAILED.json"

    def _folder(self, business_date: date) -> str:
        return f"_staging/{self.run_id}/{partition(business_date)}"

    @property
    def spark(self) -> SparkSession:
        """The Spark session that reads and stages the tables."""
        if self.session is None:
            raise RuntimeError("this Warehouse was opened without Spark; it can check and publish only")
        return self.session
