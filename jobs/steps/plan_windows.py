"""plan_windows: lists the windows to rebuild after a day was published: all windows that contain the day.

A window is the 28 days (by default) up to a business date. Windows that end on a later day are rebuilt only if they
are published already. The other steps of a run of the DAG cashier_alcohol_window build, check and publish each planned
window.
"""

from __future__ import annotations

import logging
from datetime import date, timedelta

from jobs.errors import InputError
from jobs.schemas.alcohol import CASHIER_ALCOHOL_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    for last_date in changed_windows(warehouse, business_date, settings.window_days):
        log.info("window that ends on %s", last_date)
        warehouse.staging.plan_window(last_date)


def changed_windows(warehouse: Warehouse, business_date: date, window_days: int) -> list[date]:
    """Return the last dates of the windows to build after a day was published.

    Raises InputError when the day is not published.
    """
    if not warehouse.published.has_day(CASHIER_ALCOHOL_DAYS, business_date):
        raise InputError(
            f"business date {business_date} has no cashier_alcohol_days in '{warehouse.store.uri}'; run its night first"
        )
    # A later window holds this day if it ends fewer than window_days after it.
    later_dates = [business_date + timedelta(days=number) for number in range(1, window_days)]
    windows_out = [day for day in later_dates if warehouse.published.has_day(CASHIER_ALCOHOL_AUDIT, day)]
    return [business_date, *windows_out]
