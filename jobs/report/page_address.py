"""page_address: where report pages are stored in the warehouse, and at which address readers find them."""

from __future__ import annotations

from datetime import date

from jobs.settings import Settings

FOLDER = "reports"
INDEX = f"{FOLDER}/index.html"


def page_key(business_date: date) -> str:
    """Return the key of a day's report page in the warehouse."""
    return f"{FOLDER}/business_date={business_date.isoformat()}/index.html"


def page_url(business_date: date, settings: Settings) -> str:
    """Return the address of a day's report page: its URL if the setting reports_url is set, else its URI."""
    reports = settings.reports_url or f"{settings.warehouse_uri}/{FOLDER}"
    return f"{reports}/{page_key(business_date).removeprefix(FOLDER + '/')}"
