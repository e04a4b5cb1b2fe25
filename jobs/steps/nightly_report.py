"""nightly_report: writes the page of a published day, {warehouse}/reports/business_date=D/index.html, and the index.

`jobs/report/` computes and renders the content of the pages. A page is made from the published tables and replaced in
one step. The pages of later days that look back on this day, and the index, are rewritten too. The step is idempotent.
The last line that it prints is the address of the page. No table depends on a page: if a page cannot be made, the
published tables stay as they are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from jobs.report.comparison import ComparisonLimits
from jobs.report.day_tables import day_tables
from jobs.report.page import PageSettings, ReportedDay, day_figures, day_page, index_page
from jobs.report.page_address import FOLDER, INDEX, page_key, page_url
from jobs.report.words import words_in
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)

THREADS = 16


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    write_report(warehouse, business_date, settings)
    restate_reports(warehouse, business_date, business_date + timedelta(days=1), settings)
    write_index(warehouse, settings.report_language, settings.time_zone)
    # Readers of the process take its last line.
    print(page_url(business_date, settings.warehouse_uri, settings.reports_url))


def restate_reports(warehouse: Warehouse, business_date: date, first: date, settings: Settings) -> None:
    """Rewrite the existing report pages that show a business date, from the page of the day `first` on."""
    # A page looks back over two windows; the longer one says how far ahead this day is shown.
    last = business_date + timedelta(days=max(settings.trailing_window_days, settings.window_days))
    for day in reported_days(warehouse.store):
        if first <= day <= last:
            write_report(warehouse, day, settings)


def write_report(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    """Write the report page of a day.

    Raises InputError when the day is not published, and StoreError while another run publishes it.
    """
    of_page, limits = settings.part(PageSettings), settings.part(ComparisonLimits)
    with day_tables(warehouse, business_date, settings.trailing_window_days) as day:
        # The page is complete before anything is written, so a failure leaves the old page.
        figures = day_figures(day, of_page, limits)
        page = day_page(figures, words_in(settings.report_language), of_page, settings.time_zone)
    warehouse.store.write(page_key(business_date), page.encode())
    log.info("wrote the report of %s", business_date)


def write_index(warehouse: Warehouse, language: str, time_zone: ZoneInfo) -> None:
    """Write the index of the days that have a page, and repeat until its sources did not change meanwhile.

    So if two runs write at once, the one that writes last has seen the pages of both.
    """
    sources_now = _sources_of_index(warehouse.store)
    while True:
        sources_before = sources_now
        days = reported_days(warehouse.store)
        with ThreadPoolExecutor(THREADS) as pool:
            runs = list(pool.map(warehouse.runs.published, days))
        reported = [ReportedDay(day, run) for day, run in zip(days, runs, strict=True) if run]
        warehouse.store.write(INDEX, index_page(reported, words_in(language), time_zone).encode())
        sources_now = _sources_of_index(warehouse.store)
        if sources_now == sources_before:
            return


def reported_days(store: ObjectStore) -> list[date]:
    """Return the business dates that have a report page, in order."""
    return sorted(_days(store))


def _days(store: ObjectStore) -> Iterator[date]:
    for folder in store.list_folder(FOLDER)[0]:
        if found := re.fullmatch(r"business_date=(\d{4}-\d\d-\d\d)", folder.rpartition("/")[2]):
            yield date.fromisoformat(found[1])


def _sources_of_index(store: ObjectStore) -> list[tuple[str, str]]:
    """Return the sources of the index: the existing pages and the published runs."""
    runs = [(entry.key, entry.etag) for entry in store.list(PIPELINE_RUNS.name)]
    return sorted([*runs, *((day.isoformat(), "") for day in reported_days(store))])
