"""measure_million: time a whole night with a million tiny photos on S3, each step as the DAG runs it.

The photos are objects of a few bytes and inference is a constant, so listing, matching and publishing are measured.
Each step is its own process with Spark on local[2] and a driver of DRIVER_MEMORY, which includes the tasks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from rich.console import Console

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.steps.order import STEPS
from jobs.warehouse.layout import parquet
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks.large_day import lines_of, midnight_of, photos_of, store_days
from tests.benchmarks.measure_nights import BUSINESS_DATE, RUN_ID, environment, measured_step, scratch
from tests.servers.s3_server import BUCKET, S3_ENVIRONMENT, running_s3_server

DRIVER_MEMORY = "1400m"
LINES_PER_RECEIPT = 2
PUTTING_THREADS = 16
TINY = b"no photo"
BUDGET_SECONDS = 1200


def measured_million(
    photo_count: int, cores: tuple[int, ...], console: Console, names: Sequence[str] = STEPS
) -> dict[str, Any]:
    """Return the cost of each step on a day of about `photo_count` photos, and as many receipts of two lines.

    Raises StepError when a step fails.
    """
    with TemporaryDirectory(prefix="checkout-ages-", dir=scratch()) as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        os.environ |= S3_ENVIRONMENT
        with running_s3_server(folder / "s3"):
            landing = ObjectStore(f"s3://{BUCKET}/landing")
            line_count = land(landing, photo_count)
            console.print(f"landed {photo_count} photos and {line_count} lines")
            return _night(landing, folder, cores, console, names) | {"driver_memory": DRIVER_MEMORY}


def land(landing: ObjectStore, photo_count: int) -> int:
    """Deliver a day: on average a photo per receipt, a file of receipts per store; return the number of lines."""
    line_count = 0
    midnight = midnight_of(BUSINESS_DATE)
    with ThreadPoolExecutor(PUTTING_THREADS) as pool:
        for day, random in store_days(photo_count, LINES_PER_RECEIPT):
            keys = photos_of(day, midnight).column("photo_key").to_pylist()
            _all(pool.map(lambda key: landing.write(key, TINY), keys))
            lines = lines_of(day, midnight, random)
            line_count += lines.num_rows
            land_receipts(landing, day.store_id, lines)
    mark_complete(landing)
    return line_count


def land_receipts(landing: ObjectStore, store_id: str, lines: pa.RecordBatch) -> None:
    """Deliver the receipts of a store as one file."""
    landing.write(receipts_key(store_id), parquet(pa.Table.from_batches([lines])))


def receipts_key(store_id: str) -> str:
    """Return the key of a store's file of receipts."""
    return f"{transactions_folder(BUSINESS_DATE)}/{store_id}.parquet"


def mark_complete(landing: ObjectStore) -> None:
    """Deliver the marks that say that all photos and receipts of the day are there."""
    for folder in (photos_folder, transactions_folder):
        landing.write(f"{folder(BUSINESS_DATE)}/{SUCCESS}", b"")


def _all(done: Iterable[object]) -> None:
    for _ in done:
        pass


def _night(
    landing: ObjectStore, folder: Path, cores: tuple[int, ...], console: Console, names: Sequence[str]
) -> dict[str, Any]:
    warehouse_uri = f"s3://{BUCKET}/warehouse"
    variables = environment(os.environ, landing.uri, warehouse_uri, folder / "spark", len(cores), DRIVER_MEMORY)
    warehouse = Warehouse(ObjectStore(warehouse_uri), RUN_ID)
    steps: dict[str, Any] = {}
    for step in names:
        steps[step] = measured_step(step, variables, cores, folder / "log", "tests.benchmarks.constant_inference")
        for table in (table for table in NIGHT_TABLES if table.name == step):
            steps[step]["rows"] = warehouse.staging.staged(table, BUSINESS_DATE).row_count
        largest = steps[step]["largest_process_bytes"] / 2**20
        console.print(f"{step}, {steps[step]['seconds']:.0f} s, {steps[step]['largest_process']} {largest:.0f} MiB")
    seconds = sum(measured["seconds"] for measured in steps.values())
    return {
        "steps": steps,
        "run": _counts(warehouse.runs.own(BUSINESS_DATE)),
        "seconds": seconds,
        "is_within_time": seconds <= BUDGET_SECONDS,
        "cpu_seconds": sum(measured["cpu_seconds"] for measured in steps.values()),
        "largest_process_bytes": max(measured["largest_process_bytes"] for measured in steps.values()),
        "peak_memory_bytes": max(measured["peak_memory_bytes"] for measured in steps.values()),
    }


def _counts(run: dict[str, Any] | None) -> dict[str, int]:
    """Return the counts of the published run; nothing when its publishing was not measured."""
    return {name: count for name, count in (run or {}).items() if name.endswith("_count")}
