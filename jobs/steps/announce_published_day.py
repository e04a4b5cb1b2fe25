"""announce_published_day: tells the DAGs that wait for a published day which of its tables have changed.

If a day was run again and no table changed, there is nothing to tell: the windows that contain it need not be rebuilt.
Otherwise the last line printed is JSON: `business_date`, `run_id`, `row_counts` by table, `changed_tables`, and
`report`, the address of the day's report.
"""

from __future__ import annotations

import json
from datetime import date

from jobs.errors import InputError, UnchangedDayError
from jobs.report.page_address import page_url
from jobs.schemas.dictionary import PUBLISHED_TABLES
from jobs.settings import Settings
from jobs.steps.publish_night import change_in_words
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    own_run = warehouse.runs.own(business_date)
    if own_run is None:
        raise InputError(f"run '{warehouse.run_id}' has not published {business_date}; run publish_night first")
    # Not None: that is a day that is published for the first time.
    if own_run["changed_tables"] == []:
        raise UnchangedDayError(change_in_words(business_date, own_run))
    report = page_url(business_date, settings.warehouse_uri, settings.reports_url)
    print(json.dumps(announcement(warehouse, business_date, own_run["changed_tables"], report)))


def announcement(
    warehouse: Warehouse, business_date: date, changed_tables: list[str] | None, report: str
) -> dict[str, object]:
    """Return the JSON object that announces a published day to other DAGs.

    If `changed_tables` is None, the day is published for the first time and all tables count as changed.
    """
    row_counts = {table.name: warehouse.published.row_count(table, business_date) for table in PUBLISHED_TABLES}
    return {
        "business_date": business_date.isoformat(),
        "run_id": warehouse.run_id,
        "row_counts": row_counts,
        "changed_tables": list(row_counts) if changed_tables is None else changed_tables,
        "report": report,
    }
