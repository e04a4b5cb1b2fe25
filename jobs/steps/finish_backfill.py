"""finish_backfill: builds once what looks over days, after all days of a backfill: windows, report pages and the index.

The windows are those that the published days change; they have a run of their own, `RUN_ID-windows`. The last line
printed is JSON: the events of the days that this run has published and changed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

from jobs.report.page_address import page_url
from jobs.settings import Settings
from jobs.steps.announce_published_day import announcement
from jobs.steps.backfill_options import BackfillOptions
from jobs.steps.nightly_report import reported_days, write_index, write_report
from jobs.steps.order import run_windows
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)


def run(warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, options: BackfillOptions) -> None:
    published = finish(warehouse, business_dates, settings)
    changed = [(day, run["changed_tables"]) for day, run in published.items() if run["changed_tables"] != []]
    print(json.dumps([announcement(warehouse, day, tables, _page_url(day, settings)) for day, tables in changed]))


def finish(warehouse: Warehouse, business_dates: Sequence[date], settings: Settings) -> dict[date, dict[str, Any]]:
    """Build windows, pages and index for the days that this run has published; return its records of them.

    Raises FailedCheckError when a check of a window fails; then no window is published.
    """
    records = {day: warehouse.runs.own(day) for day in business_dates}
    published = {day: record for day, record in records.items() if record}
    if published:
        windows = Warehouse(warehouse.store, f"{warehouse.run_id}-windows")
        try:
            last_dates = run_windows(windows, list(published), settings, _log_step)
            log.info("published %s windows as run '%s'", len(last_dates), windows.run_id)
        finally:
            # The days are published whatever becomes of the windows, and each published day has a page.
            _write_pages(warehouse, published, settings)
    return published


def _write_pages(warehouse: Warehouse, published: Iterable[date], settings: Settings) -> None:
    """Write the page of each published day, and once each existing page that shows one of them."""
    days_ahead = max(settings.trailing_window_days, settings.window_days)
    shown_on = {day + timedelta(days=number) for day in published for number in range(days_ahead + 1)}
    pages = sorted({*published, *(shown_on & set(reported_days(warehouse.store)))})
    for day in pages:
        write_report(warehouse, day, settings)
    write_index(warehouse, settings.report_language, settings.time_zone)
    log.info("the report of the last day: %s", _page_url(pages[-1], settings))


def _page_url(business_date: date, settings: Settings) -> str:
    return page_url(business_date, settings.warehouse_uri, settings.reports_url)


def _log_step(step: str, seconds: float) -> None:
    log.info("%s took %.1f s", step, seconds)
