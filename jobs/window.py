"""window: the steps of the second DAG, which looks back over days: plan ► tables ► check ► publish, without Spark.

Where a night has one business date, a run of these has one or several windows; each step does all that are planned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib import import_module

from jobs.errors import InputError
from jobs.report.keys import page_url
from jobs.settings import Settings
from jobs.tables import WINDOW_RUNS, WINDOW_TABLES
from jobs.warehouse import Warehouse

PLAN = "plan_windows"
STEPS = (PLAN, *(table.name for table in WINDOW_TABLES), "check_window", "publish_window")


def run_window_step(warehouse: Warehouse, step: str, business_dates: Sequence[date], settings: Settings) -> list[date]:
    """Plan the windows that the published days change, or do another step for each; return their last dates.

    Raises InputError when none is planned, unless the run has published them all.
    """
    dates = list(business_dates) if step == PLAN else _planned(warehouse, business_dates)
    for business_date in dates:
        import_module(f"jobs.{step}").run(warehouse, business_date, settings)
    return dates


def run_windows(
    warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, step_done: Callable[[str, float], None]
) -> list[date]:
    """Build, check and publish all windows that the published days change; return their last dates.

    Raises InputError for what a person can mend and FailedCheckError when a check fails; then nothing is published.
    """
    warehouse.store.check_reachable()
    dates: list[date] = []
    for step in STEPS:
        started = time.monotonic()
        dates = run_window_step(warehouse, step, business_dates, settings)
        step_done(step, time.monotonic() - started)
    return dates


def window_announcement(warehouse: Warehouse, last_date: date, settings: Settings) -> dict[str, object]:
    """Return what an event of a published window tells."""
    return {
        "business_date": last_date.isoformat(),
        "run_id": warehouse.run_id,
        "row_counts": {table.name: warehouse.published_row_count(table, last_date) for table in WINDOW_TABLES},
        "report": page_url(last_date, settings),
    }


def _planned(warehouse: Warehouse, business_dates: Sequence[date]) -> list[date]:
    planned = warehouse.planned_windows()
    if not planned and not all(warehouse.is_published(day, WINDOW_RUNS) for day in business_dates):
        raise InputError(f"run '{warehouse.run_id}' has planned no window; run {PLAN} first")
    return planned
