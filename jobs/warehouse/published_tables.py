"""published_tables: reads and writes published tables, which readers see: one file per table and day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.schemas.table import Table
from jobs.warehouse.layout import parquet, published_key
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.parquet_batches import parquet_batches
from jobs.warehouse.table_files import with_all_columns


@dataclass(frozen=True)
class PublishedTables:
    """The published tables of a warehouse."""

    store: ObjectStore

    def read_arrow(
        self, table: Table, business_date: date, columns: list[str], condition: pc.Expression | None = None
    ) -> pa.Table | None:
        """Read some columns of a day of a published table into memory; None if the day is not published.

        With a condition on these columns, only rows that meet it stay in memory; the others stream past.
        """
        key = published_key(table, business_date)
        if not self.store.exists(key):
            return None
        with self.store.reader(key) as stream:
            return pq.read_table(stream, columns=columns, filters=condition)

    @contextmanager
    def batches(self, table: Table, business_date: date, columns: Sequence[str]) -> Iterator[pa.RecordBatchReader]:
        """Read some columns of a day as a stream of batches; no rows if the day is not published.

        A column that the file does not have is null.
        """
        schema = table.schema_of(columns)
        key = published_key(table, business_date)
        if not self.store.exists(key):
            yield pa.RecordBatchReader.from_batches(schema, ())
            return
        with self.store.reader(key) as stream:
            parquet = pq.ParquetFile(stream)
            names = [name for name in columns if name in parquet.schema_arrow.names]
            batches = (with_all_columns(batch, schema) for batch in parquet_batches(parquet, names))
            yield pa.RecordBatchReader.from_batches(schema, batches)

    def read_days(
        self, table: Table, days: Iterable[date], columns: list[str], condition: pc.Expression | None = None
    ) -> dict[date, pa.Table]:
        """Read some columns of a published table, by day, as `read_arrow` does; days not published are left out."""
        rows = {day: self.read_arrow(table, day, columns, condition) for day in days}
        return {day: rows_of_day for day, rows_of_day in rows.items() if rows_of_day is not None}

    def dates(self, table: Table) -> list[date]:
        """Return the published business dates of a table, in order."""
        folders, _ = self.store.list_folder(table.name)
        dates = sorted(date.fromisoformat(folder.rpartition("=")[2]) for folder in folders)
        # On a file system, a folder may be there without its file while the first one is being written.
        return [day for day in dates if self.has_day(table, day)]

    def run_id(self, table: Table, business_date: date) -> str | None:
        """Return the id of the run that wrote a published day of a table; None if the day has no rows."""
        key = published_key(table, business_date)
        if not self.store.exists(key):
            return None
        with self.store.reader(key) as stream:
            first = next(parquet_batches(pq.ParquetFile(stream), ["run_id"]), None)
        return first["run_id"][0].as_py() if first else None

    def row_count(self, table: Table, business_date: date) -> int:
        """Return the number of rows of a published day of a table."""
        with self.store.reader(published_key(table, business_date)) as stream:
            return int(pq.ParquetFile(stream).metadata.num_rows)

    def has_day(self, table: Table, business_date: date) -> bool:
        """Say whether a day of a table is published."""
        return self.store.exists(published_key(table, business_date))

    def write(self, table: Table, business_date: date, rows: pa.Table) -> None:
        """Publish a day of a small table from memory, in one atomic replace. Raises if the schema does not fit."""
        self.store.write(published_key(table, business_date), parquet(rows.cast(table.schema)))

    def location(self, table: Table) -> str:
        """Return a glob of the files of all days of a published table, for readers."""
        return self.store.location(f"{table.name}/business_date=*/part-0.parquet")
