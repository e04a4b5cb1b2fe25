"""announce_published_day: whether a published day says anything new, for who waits for it.

A day that was run again and came out the same has nothing to tell: the windows that hold it need not be built anew.
"""

from __future__ import annotations

from datetime import date

from jobs.errors import InputError, UnchangedDayError
from jobs.publish_night import change_in_words
from jobs.settings import Settings
from jobs.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    own_run = warehouse.own_run(business_date)
    if own_run is None:
        raise InputError(f"run '{warehouse.run_id}' has not published {business_date}; run publish_night first")
    if own_run["changed_tables"] == []:
        raise UnchangedDayError(change_in_words(business_date, own_run))
