"""restate_reports: writes the pages again that show a day whose tables, or window of cashiers, were published anew.

They are that of the day itself and those of later days that hold it in their trailing window; a day without a page
stays without one.
"""

from __future__ import annotations

from datetime import date

from jobs.nightly_report import restate_reports
from jobs.settings import Settings
from jobs.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    restate_reports(warehouse, business_date, business_date, settings)
