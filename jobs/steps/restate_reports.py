"""restate_reports: rewrites the report pages that show a day, after its tables or its window were published again.

These are the page of the day, the pages of later days that look back on it, and the index. A day without a page gets
none.
"""

from __future__ import annotations

from datetime import date

from jobs.settings import Settings
from jobs.steps.nightly_report import reported_days, restate_reports, write_index
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    # A warehouse without pages has no index either; none is started here.
    if reported_days(warehouse.store):
        restate_reports(warehouse, business_date, business_date, settings)
        write_index(warehouse, settings.report_language, settings.time_zone)
