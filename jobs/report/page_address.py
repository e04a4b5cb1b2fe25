"""page_address: the places of the pages in the warehouse, and their addresses for readers."""

from __future__ import annotations

from datetime import date

from jobs.settings import Settings

FOLDER = "reports"
INDEX = f"{FOLDER}/index.html"


def page_key(business_date: date) -> str:
    """Return the key of a day's page in the warehouse."""
    return f"{FOLDER}/business_date={business_date.isoformat()}/index.html"


def page_url(business_date: date, settings: Settings) -> str:
    """Return the address of a day's page: a URL where pages are served, else the URI in the warehouse."""
    reports = settings.reports_url or f"{settings.warehouse_uri}/{FOLDER}"
    return f"{reports}/{page_key(business_date).removeprefix(FOLDER + '/')}"
