"""measure_nights: time all steps after inference on days of millions of receipt lines, each as the DAG runs it.

Each step is its own process, `python -m jobs.run STEP`, with Spark on local[2] in a JVM of DRIVER_MEMORY. Peak
memory is that of the step's whole process tree: the JVM, its Python workers, DuckDB.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from jobs.local_spark import java_home
from jobs.settings import Settings
from jobs.steps.order import STEPS
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks.large_day import GENERATED_TABLES, stage_large_day
from tests.benchmarks.measured_run import StepError, measured_run
from tests.benchmarks.turns import REPOSITORY

DRIVER_MEMORY = "3g"
MEMORY_BUDGET_BYTES = 8 * 1024**3
BUSINESS_DATE = date(2026, 11, 20)
RUN_ID = "benchmark"
BEFORE = {"wait_for_business_date", *(table.name for table in GENERATED_TABLES)}
STEPS_MEASURED = tuple(step for step in STEPS if step not in BEFORE)


def measured_nights(
    line_counts: tuple[int, ...], cores: tuple[int, ...], console: Console, steps: tuple[str, ...] = STEPS_MEASURED
) -> dict[str, Any]:
    """Return the cost of each step for each size, and each size's time relative to the size before."""
    nights = [_night(line_count, cores, console, steps) for line_count in line_counts]
    whole = [night for night in nights if "error" not in night]
    return {
        "driver_memory": DRIVER_MEMORY,
        "memory_budget_bytes": MEMORY_BUDGET_BYTES,
        "nights": nights,
        "times_the_size_before": [_growth(earlier, later) for earlier, later in pairwise(whole)],
    }


def _growth(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, float]:
    return {name: later[name] / earlier[name] for name in ("lines", "photos", "seconds", "cpu_seconds")}


def _night(line_count: int, cores: tuple[int, ...], console: Console, names: tuple[str, ...]) -> dict[str, Any]:
    with TemporaryDirectory(prefix="checkout-ages-", dir=scratch()) as folder:
        warehouse = Warehouse(ObjectStore(Path(folder, "warehouse").as_uri()), RUN_ID)
        landing = ObjectStore(Path(folder, "landing").as_uri())
        landing.check_reachable()
        stage_large_day(warehouse, BUSINESS_DATE, line_count, Settings.model_fields["model_version"].default)
        variables = environment(os.environ, landing.uri, warehouse.store.uri, Path(folder, "spark"), len(cores))
        steps: dict[str, Any] = {}
        night = {
            "lines": warehouse.staging.staged(GENERATED_TABLES[2], BUSINESS_DATE).row_count,
            "photos": warehouse.staging.staged(GENERATED_TABLES[0], BUSINESS_DATE).row_count,
            "steps": steps,
        }
        try:
            for step in names:
                steps[step] = measured_step(step, variables, cores, Path(folder, "log"))
                console.print(f"{night['lines']} lines: {step}, {steps[step]['seconds']:.0f} s")
        except StepError as error:
            console.print(str(error), style="red", markup=False)
            return night | {"error": str(error)}
    sums = {name: sum(measured[name] for measured in steps.values()) for name in ("seconds", "cpu_seconds")}
    peak = max(measured["peak_memory_bytes"] for measured in steps.values())
    return night | sums | {"peak_memory_bytes": peak, "is_within_memory": peak <= MEMORY_BUDGET_BYTES}


def measured_step(
    step: str, variables: Mapping[str, str], cores: tuple[int, ...], log: Path, module: str = "jobs.run"
) -> dict[str, Any]:
    """Run a step in its own process. Raises StepError when it fails."""
    command = [sys.executable, "-m", module, step, "--business-date", BUSINESS_DATE.isoformat(), "--run-id", RUN_ID]
    run = measured_run(step, command, variables, cores, log)
    name, largest_bytes = run.memory.largest_process()
    return {
        "seconds": run.seconds,
        "cpu_seconds": run.memory.cpu_seconds(),
        "peak_memory_bytes": run.memory.peak_tree_bytes(),
        "largest_process": name,
        "largest_process_bytes": largest_bytes,
    }


def environment(
    inherited: Mapping[str, str],
    landing_uri: str,
    warehouse_uri: str,
    spills: Path,
    slots: int,
    driver_memory: str = DRIVER_MEMORY,
) -> dict[str, str]:
    """Return settings that compile well, unlike those of small days, and that spill into the benchmark's own folder."""
    own = ("CHECKOUT_AGES_", "SPARK_", "PYSPARK_")
    return {
        **{name: value for name, value in inherited.items() if not name.startswith(own)},
        "PYTHONPATH": str(REPOSITORY),
        "JAVA_HOME": str(java_home(inherited)),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": f"--master local[{slots}] pyspark-shell",
        "SPARK_DRIVER_MEMORY": driver_memory,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(spills),
        "TMPDIR": str(spills.parent),
        "CHECKOUT_AGES_LANDING_URI": landing_uri,
        "CHECKOUT_AGES_WAREHOUSE_URI": warehouse_uri,
    }


def scratch() -> Path:
    """Return a folder on disk. In a folder in memory, Spark's spilled data would count as memory."""
    folder = REPOSITORY / ".demo"
    folder.mkdir(exist_ok=True)
    return folder
