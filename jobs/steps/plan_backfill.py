"""plan_backfill: cuts the days of a backfill into chunks, each for one Spark application.

The last line printed is JSON: for each chunk, the arguments of `jobs/run.py` that build it. Days that this run has
published are left out, and so are those that another run has published, unless they are to be restated.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import date

from jobs.errors import InputError
from jobs.settings import SUBJECTS, Settings
from jobs.steps.backfill_options import BackfillOptions, chunks
from jobs.steps.backfilled_days import DayState, backfilled_days, in_state
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)

SETTLED = (
    "Where data lies, and how it is named",
    "The age model",
    "Photos",
    "Which photo belongs to which receipt",
    "Age groups and small cells",
    "The alcohol audit",
)
"""Subjects of settings that decide what is in the tables. They stay the same from a backfill's begin to its end."""


def run(warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, options: BackfillOptions) -> None:
    planned = planned_chunks(warehouse, business_dates, settings, options)
    print(json.dumps([chunk_arguments(chunk, warehouse.run_id, options) for chunk in planned]))


def planned_chunks(
    warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, options: BackfillOptions
) -> list[Sequence[date]]:
    """Return the days to build, in chunks.

    Raises InputError when a day is published and must not be, or this run was begun with other settings.
    """
    refuse_other_settings(warehouse, settings)
    days = backfilled_days(warehouse, ObjectStore(settings.landing_uri), business_dates, options)
    published_before = list(in_state(days, DayState.PUBLISHED_BEFORE))
    if published_before and options.published == "fail":
        raise InputError(
            f"{len(published_before)} of the days are published: {'; '.join(map(str, published_before))}. To leave "
            "them as they are say --published skip, to publish them again --published restate"
        )
    to_build = [day.business_date for day in in_state(days, DayState.FAILED, DayState.NOT_LANDED, DayState.NOT_BUILT)]
    log.info("%s of %s days are to be built by run '%s'", len(to_build), len(days), warehouse.run_id)
    return chunks(to_build, options.days_per_application)


def refuse_other_settings(warehouse: Warehouse, settings: Settings) -> None:
    """Raise InputError when the run was begun with other settings: its days would not be comparable."""
    now = settings.model_dump(mode="json", include={name for subject in SETTLED for name in SUBJECTS[subject]})
    before = warehouse.staging.note_settings(now)
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}" for name, value in now.items() if before.get(name) != value
    ]
    if changed:
        raise InputError(
            f"run '{warehouse.run_id}' was begun with other settings: {'; '.join(changed)}. Set them back, or begin "
            "another run id"
        )


def chunk_arguments(chunk: Sequence[date], run_id: str, options: BackfillOptions) -> list[str]:
    """Return the arguments of `jobs/run.py` that build a chunk."""
    days = [day.isoformat() for day in chunk]
    return ["backfill_days", "--business-date", *days, "--run-id", run_id, "--published", options.published]
