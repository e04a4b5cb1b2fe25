"""published_day: check in object storage that all tables of a night exist and add up."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.schemas.buyers import AGE_GROUP_PURCHASES
from jobs.schemas.dictionary import TABLES_OF_A_RUN
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.warehouse.object_store import ObjectStore


def complaints(bucket_uri: str, business_date: str, run_count: int = 1) -> list[str]:
    """Return the faults in the tables of a day that `run_count` runs published; empty if there are none."""
    landing, warehouse = ObjectStore(f"{bucket_uri}/landing"), ObjectStore(f"{bucket_uri}/warehouse")
    files = {table.name: _parquet(warehouse, table.name, business_date) for table in TABLES_OF_A_RUN}
    expected = dict.fromkeys(files, 1) | {PIPELINE_RUNS.name: run_count}
    found = [
        f"{name} has {len(parts)} files, not {expected[name]}"
        for name, parts in files.items()
        if len(parts) != expected[name]
    ]
    if found:
        return found
    read = {name: pq.read_table(io.BytesIO(warehouse.read(parts[0]))) for name, parts in files.items()}
    purchases, lines, estimates = (
        read[table.name] for table in (AGE_GROUP_PURCHASES, TRANSACTION_LINES, PHOTO_AGE_ESTIMATES)
    )
    photos = [o for o in landing.list(f"photos/business_date={business_date}/") if not o.key.endswith("_SUCCESS")]
    if _sum(purchases, "net_amount") != _sum(lines, "net_amount"):
        found.append("the age groups' amounts do not add up to the log")
    if estimates.num_rows != len(photos):
        found.append(f"{len(photos)} photos landed, photo_age_estimates has {estimates.num_rows} rows")
    estimated = pc.sum(pc.equal(estimates["estimate_status"], "estimated")).as_py()
    if estimated < 0.8 * len(photos):
        found.append(f"{estimated} of {len(photos)} photos have an estimate")
    return found


def _parquet(warehouse: ObjectStore, table: str, business_date: str) -> list[str]:
    folder = f"{table}/business_date={business_date}/"
    return [entry.key for entry in warehouse.list(folder) if entry.key.endswith(".parquet")]


def _sum(rows: pa.Table, column: str) -> Any:
    return pc.sum(rows[column]).as_py()
