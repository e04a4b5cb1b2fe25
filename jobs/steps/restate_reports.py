"""restate_reports: writes the pages again that show a day whose tables, or window of cashiers, were published again.

They are that of the day itself, those of later days that hold it in their trailing window, and the index. A day without
a page stays without one.
"""

from __future__ import annotations

from datetime import date

from jobs.settings import Settings
from jobs.steps.nightly_report import reported_days, restate_reports, write_index
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    if reported_days(warehouse.store):
        restate_reports(warehouse, business_date, business_date, settings)
        write_index(warehouse, settings)
