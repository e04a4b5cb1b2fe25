"""staged_nights: make a warehouse with an old published day and a new staged day that a step can publish."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from jobs.schemas.dictionary import PUBLISHED_TABLES, PUBLISHED_WINDOW_TABLES
from jobs.schemas.landed import CHECKOUT_PHOTOS
from jobs.schemas.runs import PIPELINE_RUNS, WINDOW_RUNS
from jobs.schemas.table import Table
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE
from tests.reliability.whole_days import OLD, Content, Day

NEW, NEWER = "new", "newer"
GENERATED_ROWS = 40


@dataclass(frozen=True)
class Publication:
    """The tables that a step publishes, and the place of their commit marks. The last of `steps` publishes."""

    steps: tuple[str, ...]
    tables: tuple[Table, ...]
    marks: Table


GENERATED_NIGHT = Publication(("publish_night",), PUBLISHED_TABLES, PIPELINE_RUNS)
REAL_NIGHT = Publication(("check_night", "publish_night"), PUBLISHED_TABLES, PIPELINE_RUNS)
WINDOW = Publication(("publish_window",), PUBLISHED_WINDOW_TABLES, WINDOW_RUNS)


@dataclass(frozen=True)
class Snapshot:
    """A warehouse before the last steps of a run, and the days that it may show after them."""

    store: ObjectStore
    landing: Path
    publication: Publication
    days: dict[str, dict[str, Content]] = field(default_factory=dict)

    def day_at(self, warehouse_uri: str) -> Day:
        """Return the day that a copy of the snapshot may show."""
        return Day(warehouse_uri, self.publication.tables, self.publication.marks, self.days)


def stage_generated(store: ObjectStore, publication: Publication) -> None:
    """Stage generated rows, as if all steps before the last had run."""
    warehouse = Warehouse(store, NEW)
    for table in publication.tables:
        warehouse.stage_arrow(table, BUSINESS_DATE, _generated(table))
    warehouse.staging.mark_checked(BUSINESS_DATE, [])


def publish_old(store: ObjectStore, publication: Publication) -> None:
    """Publish another content of the staged day first: every second row of it, of another run."""
    old = _staged_as(store, publication, OLD, every=2)
    for table in publication.tables:
        old.promote(table, BUSINESS_DATE)
    run = {"run_id": OLD, "published_at": datetime(2026, 11, 21, tzinfo=UTC)}
    old.runs.write(BUSINESS_DATE, run, publication.marks)
    old.staging.drop(BUSINESS_DATE)


def stage_newer(store: ObjectStore, publication: Publication) -> None:
    """Stage the same day again, as another run that is ready to publish."""
    _staged_as(store, publication, NEWER, every=1).staging.mark_checked(BUSINESS_DATE, [])


def photo_keys(store: ObjectStore) -> set[str]:
    """Return the keys of the staged photos."""
    keys = Warehouse(store, NEW).staging.read_arrow(CHECKOUT_PHOTOS, BUSINESS_DATE, ["photo_key"])
    return set(keys["photo_key"].to_pylist())


def let_five_minutes_pass(store: ObjectStore) -> None:
    """Age each lock by five minutes, as when Airflow retries."""
    for lock in list(store.list("_locks")):
        state = json.loads(store.read(lock.key))
        renewed_at = datetime.fromisoformat(state["renewed_at"]) - timedelta(minutes=5)
        store.write(lock.key, json.dumps(state | {"renewed_at": renewed_at.isoformat()}).encode())


def copy_warehouse(source: ObjectStore, target: ObjectStore) -> None:
    """Copy all objects from one store to another, of any kind."""
    for entry in source.list():
        target.write(entry.key, source.read(entry.key))


def environment(warehouse_uri: str, landing: Path) -> dict[str, str]:
    """Return the settings of a step that infers all photos itself."""
    return {
        "CHECKOUT_AGES_LANDING_URI": landing.as_uri(),
        "CHECKOUT_AGES_WAREHOUSE_URI": warehouse_uri,
        "CHECKOUT_AGES_REUSE_ESTIMATES": "false",
    }


def _staged_as(store: ObjectStore, publication: Publication, run_id: str, every: int) -> Warehouse:
    new, warehouse = Warehouse(store, NEW), Warehouse(store, run_id)
    for table in publication.tables:
        columns = [name for name in table.column_names if name != "run_id"]
        rows = new.staging.read_arrow(table, BUSINESS_DATE, columns)
        warehouse.stage_arrow(table, BUSINESS_DATE, rows.take(pa.array(range(0, rows.num_rows, every), pa.int64())))
    return warehouse


def _generated(table: Table) -> pa.Table:
    """Return rows with numbers in every text and count column; all other columns are null."""
    fields = [field for field in table.schema if field.name != "run_id"]
    columns = [_numbered(field.type) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _numbered(kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([f"{number:04}" for number in range(GENERATED_ROWS)])
    if pa.types.is_integer(kind):
        return pa.array(range(GENERATED_ROWS), kind)
    return pa.nulls(GENERATED_ROWS, kind)
