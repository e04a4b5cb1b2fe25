"""published_tables: the tables that readers see in a warehouse: one file per table and day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.schemas.table import Table
from jobs.warehouse.layout import parquet, published_key
from jobs.warehouse.object_store import ObjectStore


@dataclass(frozen=True)
class PublishedTables:
    """The published tables of a warehouse."""

    store: ObjectStore

    def read_arrow(self, table: Table, business_date: date, columns: list[str]) -> pa.Table | None:
        """Return some columns of a published table in memory, None when the day is not published."""
        key = published_key(table, business_date)
        if not self.store.exists(key):
            return None
        with self.store.reader(key) as stream:
            return pq.ParquetFile(stream).read(columns=columns)

    def read_days(self, table: Table, days: Iterable[date], columns: list[str]) -> dict[date, pa.Table]:
        """Return some columns of a published table in memory, for those days that are published."""
        rows = {day: self.read_arrow(table, day, columns) for day in days}
        return {day: rows_of_day for day, rows_of_day in rows.items() if rows_of_day is not None}

    def dates(self, table: Table) -> list[date]:
        """Return the business dates of a table that readers see, in order."""
        folders, _ = self.store.list_folder(table.name)
        dates = sorted(date.fromisoformat(folder.rpartition("=")[2]) for folder in folders)
        # On a file system, a folder may be there without its file while the first one is being written.
        return [day for day in dates if self.has_day(table, day)]

    def run_id(self, table: Table, business_date: date) -> str | None:
        """Return the run whose rows readers see for a table's day, None when there are no rows."""
        key = published_key(table, business_date)
        if not self.store.exists(key):
            return None
        with self.store.reader(key) as stream:
            first = next(pq.ParquetFile(stream).iter_batches(batch_size=1, columns=["run_id"]), None)
        return first["run_id"][0].as_py() if first else None

    def row_count(self, table: Table, business_date: date) -> int:
        """Return how many rows of a table readers see for a published day."""
        with self.store.reader(published_key(table, business_date)) as stream:
            return int(pq.ParquetFile(stream).metadata.num_rows)

    def has_day(self, table: Table, business_date: date) -> bool:
        """Say whether readers see the table's day."""
        return self.store.exists(published_key(table, business_date))

    def write(self, table: Table, business_date: date, rows: pa.Table) -> None:
        """Publish a small table's day from memory, in one atomic replace. Raises when the schema does not fit."""
        self.store.write(published_key(table, business_date), parquet(rows.cast(table.schema)))

    def location(self, table: Table) -> str:
        """Return the place of all days of a published table, as a glob for readers."""
        return self.store.location(f"{table.name}/business_date=*/part-0.parquet")
