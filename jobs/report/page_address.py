"""page_address: where report pages are stored in the warehouse, and at which address readers find them."""

from __future__ import annotations

from datetime import date

FOLDER = "reports"
INDEX = f"{FOLDER}/index.html"


def page_key(business_date: date) -> str:
    """Return the key of a day's report page in the warehouse."""
    return f"{FOLDER}/business_date={business_date.isoformat()}/index.html"


def page_url(business_date: date, warehouse_uri: str, reports_url: str) -> str:
    """Return the address of a day's page: a URL where pages are served, else the URI in the warehouse."""
    reports = reports_url or f"{warehouse_uri}/{FOLDER}"
    return f"{reports}/{page_key(business_date).removeprefix(FOLDER + '/')}"
