"""publish_window: makes a checked window visible, table by table, and then records it in window_runs.

Like publish_night it can be killed at any point and run again: the commit mark is written last, and staging is deleted
only after that.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from jobs.errors import InputError
from jobs.landing.tombstones import refuse_window_begun_before_an_erasure
from jobs.schemas.dictionary import PUBLISHED_WINDOW_TABLES
from jobs.schemas.runs import WINDOW_RUNS
from jobs.settings import Settings
from jobs.warehouse import catalogue
from jobs.warehouse.publishing_lock import PublishingLock
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    with warehouse.runs.lock(business_date, settings.lock_stale_seconds, WINDOW_RUNS) as lock:
        warnings = warehouse.staging.check_warnings(business_date)
        if warnings is not None:
            _publish(warehouse, business_date, settings.window(business_date), warnings, lock)
        # With its commit mark, the run was killed while staging was deleted: only that is left to do.
        elif not warehouse.runs.has_own(business_date, WINDOW_RUNS):
            raise InputError(
                f"run '{warehouse.run_id}' of the window that ends on {business_date} has not passed check_window; "
                "run check_window first"
            )
        lock.renew()
        warehouse.staging.drop(business_date)
    catalogue.refresh(warehouse.store)


def _publish(
    warehouse: Warehouse, business_date: date, days: list[date], warnings: list[str], lock: PublishingLock
) -> None:
    refuse_window_begun_before_an_erasure(warehouse, business_date, days)
    window_run = {
        "run_id": warehouse.run_id,
        "published_at": datetime.now(UTC),
        "window_first_date": days[0],
        "warnings": warnings,
    }
    warehouse.publish(PUBLISHED_WINDOW_TABLES, business_date, window_run, WINDOW_RUNS, lock)
