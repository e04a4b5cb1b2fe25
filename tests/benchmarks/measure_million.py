"""measure_million: time a whole night with a million tiny photos on S3, each step as the DAG runs it.

The photos are objects of a few bytes and inference is a constant, so listing, matching and publishing are measured.
Each step is its own process with Spark on local[2] and a driver of DRIVER_MEMORY, which includes the tasks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.steps.order import STEPS
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks.large_day import SEED, TRANSACTIONS_PER_STORE, StoreDay, lines_of, photos_of, store_day
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
    midnight = datetime(BUSINESS_DATE.year, BUSINESS_DATE.month, BUSINESS_DATE.day)
    with ThreadPoolExecutor(PUTTING_THREADS) as pool:
        for day, random in _store_days(photo_count):
            keys = photos_of(day, midnight).column("photo_key").to_pylist()
            _all(pool.map(lambda key: landing.write(key, TINY), keys))
            lines = pa.Table.from_batches([lines_of(day, midnight, random)])
            line_count += lines.num_rows
            sink = pa.BufferOutputStream()
            pq.write_table(lines, sink)
            name = f"{transactions_folder(BUSINESS_DATE)}/{day.store_id}.parquet"
            landing.write(name, sink.getvalue().to_pybytes())
    for folder in (photos_folder, transactions_folder):
        landing.write(f"{folder(BUSINESS_DATE)}/{SUCCESS}", b"")
    return line_count


def _store_days(photo_count: int) -> Iterator[tuple[StoreDay, np.random.Generator]]:
    for store in range(max(1, round(photo_count / TRANSACTIONS_PER_STORE))):
        random = np.random.default_rng([SEED, store])
        yield store_day(f"{store + 1:04}", random, LINES_PER_RECEIPT), random


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
