"""order: the steps of a night and of a window, in the order in which they run, and how to run a step.

A step is the module of the same name: it builds the table of that name, or waits, checks, publishes, reports. A night
has one business date. A run of the DAG cashier_alcohol_window has one or several windows, and each of its steps
handles all planned windows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib import import_module
from types import ModuleType

from jobs.errors import InputError
from jobs.report.page_address import page_url
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, CASHIER_ALCOHOL_DAYS
from jobs.schemas.buyers import AGE_GROUP_AFFINITY
from jobs.schemas.dictionary import NIGHT_TABLES, WINDOW_TABLES
from jobs.schemas.landed import PHOTO_COVERAGE, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.runs import WINDOW_RUNS
from jobs.settings import Settings
from jobs.spark import reraising_worker_errors, spark_session
from jobs.steps.backfill_options import BackfillOptions
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

BUILT_WITH = {REJECTED_TRANSACTION_LINES: TRANSACTION_LINES}
"""Tables that the task of another table also stages. They have no step of their own."""
TABLE_STEPS = tuple(table.name for table in NIGHT_TABLES if table not in BUILT_WITH)
BUILT_WITHOUT_SPARK = frozenset(
    table.name for table in (AGE_GROUP_AFFINITY, ALCOHOL_REVIEW_CASES, PHOTO_COVERAGE, CASHIER_ALCOHOL_DAYS)
)
"""Steps of tables that stay small however large the day is. DuckDB or numpy builds them from staged tables in a second,
where an application of Spark takes ten seconds of CPU to start."""
SPARK_STEPS = tuple(step for step in TABLE_STEPS if step not in BUILT_WITHOUT_SPARK)
STEPS = ("wait_for_business_date", *TABLE_STEPS, "check_night", "publish_night")
REPORT, RESTATE_REPORTS = "nightly_report", "restate_reports"
"""Steps that write report pages. If they fail, the published tables stay valid."""
ANNOUNCE = "announce_published_day"
"""A step for Airflow only: it tells the DAGs that wait for a published day which of its tables have changed."""
PLAN_WINDOWS = "plan_windows"
WINDOW_STEPS = (PLAN_WINDOWS, *(table.name for table in WINDOW_TABLES), "check_window", "publish_window")
BACKFILL_DAYS, FINISH_BACKFILL = "backfill_days", "finish_backfill"
BACKFILL_STEPS = ("plan_backfill", BACKFILL_DAYS, FINISH_BACKFILL, "conclude_backfill")
"""Steps of many days at once: `backfill_days` builds a chunk of them in one Spark application."""
BUILDING_STEPS = {*TABLE_STEPS, *(table.name for table in WINDOW_TABLES)}
EVERY_STEP = (*STEPS, REPORT, ANNOUNCE, *WINDOW_STEPS, RESTATE_REPORTS, *BACKFILL_STEPS)

StepDone = Callable[[str, float], None]
"""A function that is called after each step, with the step's name and the seconds that it took."""


def module_of(step: str) -> ModuleType:
    """Return the module that does the work of a step, in its function `run`."""
    package = "tables" if step in BUILDING_STEPS else "steps"
    # Imported only when it runs: a process of one step does not load the libraries of all.
    return import_module(f"jobs.{package}.{step}")


def run_step(
    step: str,
    business_dates: Sequence[date],
    run_id: str,
    settings: Settings,
    backfill: BackfillOptions | None = None,
) -> None:
    """Run one step for the business dates in a process of its own, with Spark if it needs it.

    `backfill` is for BACKFILL_STEPS only.
    """
    # Wrong credentials or a wrong URI should fail here, in one sentence, before Spark starts.
    store = ObjectStore(settings.warehouse_uri, settings.largest_copy_bytes)
    store.check_reachable()
    if step in BACKFILL_STEPS:
        first, last = business_dates[0], business_dates[-1]
        session = spark_session(f"{step} {first} to {last}") if step == BACKFILL_DAYS else None
        warehouse = Warehouse(store, run_id, session, _try_number(), settings.model_version)
        module_of(step).run(warehouse, business_dates, settings, backfill or BackfillOptions())
        return
    if step in WINDOW_STEPS:
        warehouse = Warehouse(store, run_id)
        last_dates = run_window_step(warehouse, step, business_dates, settings)
        # Airflow takes the last printed line as the events of the task.
        if step == WINDOW_STEPS[-1]:
            print(json.dumps([window_announcement(warehouse, day, settings) for day in last_dates]))
        return
    for business_date in business_dates:
        session = spark_session(f"{step} {business_date}") if step in SPARK_STEPS else None
        with reraising_worker_errors():
            warehouse = Warehouse(store, run_id, session, _try_number(), settings.model_version)
            module_of(step).run(warehouse, business_date, settings)


def run_night(
    warehouse: Warehouse,
    business_date: date,
    settings: Settings,
    step_done: StepDone,
    *,
    takes_over_staged: bool = False,
) -> None:
    """Build, check and publish one day in one Spark application, without Airflow.

    `takes_over_staged`: tables that an earlier process of the same run has staged are not built again.
    Raises InputError for problems that a person can fix and FailedCheckError when a check fails; then nothing is
    published.
    """
    warehouse.store.check_reachable()
    own = warehouse.with_model(settings.model_version)
    for step in STEPS:
        if takes_over_staged and _is_staged(own, step, business_date):
            continue
        started = time.monotonic()
        with reraising_worker_errors():
            module_of(step).run(own, business_date, settings)
        step_done(step, time.monotonic() - started)


def run_windows(
    warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, step_done: StepDone
) -> list[date]:
    """Build, check and publish all windows that contain one of the published days; return the windows' last dates.

    Raises InputError for problems that a person can fix and FailedCheckError when a check fails; then nothing is
    published.
    """
    warehouse.store.check_reachable()
    dates: list[date] = []
    for step in WINDOW_STEPS:
        started = time.monotonic()
        dates = run_window_step(warehouse, step, business_dates, settings)
        step_done(step, time.monotonic() - started)
    return dates


def run_window_step(warehouse: Warehouse, step: str, business_dates: Sequence[date], settings: Settings) -> list[date]:
    """Run one step of a window run: plan the windows of the published days, or handle each planned window.

    Returns the windows' last dates. Raises InputError when none is planned, unless the run has already published all.
    """
    dates = list(business_dates) if step == PLAN_WINDOWS else _planned(warehouse, business_dates)
    for business_date in dates:
        module_of(step).run(warehouse, business_date, settings)
    return dates


def window_announcement(warehouse: Warehouse, last_date: date, settings: Settings) -> dict[str, object]:
    """Return the JSON object that announces a published window to other DAGs."""
    return {
        "business_date": last_date.isoformat(),
        "run_id": warehouse.run_id,
        "row_counts": {table.name: warehouse.published.row_count(table, last_date) for table in WINDOW_TABLES},
        "report": page_url(last_date, settings.warehouse_uri, settings.reports_url),
    }


def _is_staged(warehouse: Warehouse, step: str, business_date: date) -> bool:
    """Say whether all tables that a step builds are staged; False for a step that builds none."""
    tables = [table for table in NIGHT_TABLES if BUILT_WITH.get(table, table).name == step]
    return bool(tables) and all(warehouse.staging.is_staged(table, business_date) for table in tables)


def _planned(warehouse: Warehouse, business_dates: Sequence[date]) -> list[date]:
    planned = warehouse.staging.planned_windows()
    if not planned and not all(warehouse.runs.has_own(day, WINDOW_RUNS) for day in business_dates):
        raise InputError(f"run '{warehouse.run_id}' has not planned any window; run {PLAN_WINDOWS} first")
    return planned


def _try_number() -> int | None:
    """Return the try of the task that runs this step, as Airflow passes it to the process; None without Airflow."""
    told = os.environ.get("AIRFLOW_CTX_TRY_NUMBER", "")
    return int(told) if told.isdecimal() else None
