"""night: all steps of a business date in one Spark application, without Airflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from importlib import import_module

from jobs.run import STEPS
from jobs.settings import Settings
from jobs.warehouse import Warehouse
from jobs.worker_errors import told_by_workers

StepDone = Callable[[str, float], None]
"""Called after each step with its name and how many seconds it took."""


def run_night(warehouse: Warehouse, business_date: date, settings: Settings, step_done: StepDone) -> None:
    """Build, check and publish one day.

    Raises InputError for what a person can mend and FailedCheckError when a check fails; then nothing is published.
    """
    warehouse.store.check_reachable()
    for step in STEPS:
        started = time.monotonic()
        with told_by_workers():
            import_module(f"jobs.{step}").run(warehouse, business_date, settings)
        step_done(step, time.monotonic() - started)
