"""people_to_erase: published days with a person to find."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa

from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse


def publish(settings: Settings, table: Table, day: date, *rows: dict[str, Any]) -> None:
    columns = {name: [row.get(name) for row in rows] for name in table.column_names}
    store = ObjectStore(settings.warehouse_uri)
    Warehouse(store, "night").published.write(table, day, pa.table(columns, schema=table.schema))
