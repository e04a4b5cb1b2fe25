"""rescore: rebuilds published days with another model version, in a warehouse next to the live tables.

Photo keys and receipt lines are copied from the live tables, so that only the model differs. The other tables are
built, checked and published by the steps of a night. Live tables are read, never written. The input_digest of such a
run covers the live run's photos and the receipt files that are still in the landing.
"""

from __future__ import annotations

import time
from datetime import date, timedelta

import pyarrow as pa

from jobs.errors import InputError
from jobs.landing.deleted_photos import refuse_if_photos_were_deleted
from jobs.schemas.landed import CHECKOUT_PHOTOS, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.spark import reraising_worker_errors
from jobs.steps import check_night
from jobs.steps.order import TABLE_STEPS, StepDone, module_of
from jobs.tables import model_comparison
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

STEPS = (*TABLE_STEPS, "check_night", "publish_night")
TAKEN_FROM_LIVE = {
    CHECKOUT_PHOTOS.name: (CHECKOUT_PHOTOS,),
    TRANSACTION_LINES.name: (TRANSACTION_LINES, REJECTED_TRANSACTION_LINES),
}
"""Tables of a step that are copied from the live run instead of being built."""


def published_days(live: Warehouse, first: date, last: date) -> tuple[list[date], list[date]]:
    """Split the days from first to last into those that are published and those that are not.

    Raises InputError when first is after last, or no day is published.
    """
    if first > last:
        raise InputError(f"--from {first} lies after --to {last}; name the earlier day first")
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    published = [day for day in days if live.runs.published(day)]
    if not published:
        raise InputError(f"no day from {first} to {last} is published in '{live.store.uri}'; run its night first")
    return published, [day for day in days if day not in published]


def rescore_day(live: Warehouse, business_date: date, settings: Settings, step_done: StepDone) -> pa.Table:
    """Build, check and publish one day with the model version of the settings; return its rows of model_comparison.

    Raises InputError for problems that a person can fix (also if the live day is published again meanwhile), and
    FailedCheckError when a check fails; then nothing is published.
    """
    rescored = live.rescored(settings.model_version)
    landing = ObjectStore(settings.landing_uri)
    live_run_id = _live_run_id(live, business_date)
    for step in STEPS:
        started = time.monotonic()
        # Before and after reading: deleted photos would look like a fault of the model.
        if step in (CHECKOUT_PHOTOS.name, "publish_night"):
            refuse_if_photos_were_deleted(live, business_date, landing)
        # A comparison of two states of the live day would be wrong.
        if step == "publish_night" and _live_run_id(live, business_date) != live_run_id:
            raise InputError(f"{business_date} was published again while it was rescored; rescore it again")
        with reraising_worker_errors():
            if step in TAKEN_FROM_LIVE:
                for table in TAKEN_FROM_LIVE[step]:
                    _take_from_live(live, rescored, table, business_date)
            elif step == "check_night":
                check_night.run(rescored, business_date, settings, is_built_again=True)
            else:
                module_of(step).run(rescored, business_date, settings)
        step_done(step, time.monotonic() - started)
    return model_comparison.run(live, rescored, business_date)


def _live_run_id(live: Warehouse, business_date: date) -> str | None:
    run = live.runs.published(business_date)
    return run["run_id"] if run else None


def _take_from_live(live: Warehouse, rescored: Warehouse, table: Table, business_date: date) -> None:
    rows = live.read_published(table, business_date)
    if rows is None:
        raise InputError(f"table '{table.name}' of {business_date} is not published in '{live.store.uri}'")
    rescored.stage(table, business_date, rows)
