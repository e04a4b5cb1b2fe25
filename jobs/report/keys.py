"""keys: where the pages lie in the warehouse."""

from __future__ import annotations

from datetime import date

FOLDER = "reports"
INDEX = f"{FOLDER}/index.html"


def page_key(business_date: date) -> str:
    """Return the key of a day's page in the warehouse."""
    return f"{FOLDER}/business_date={business_date.isoformat()}/index.html"
