"""conclude_backfill: says which days of a backfill are published, which failed and why, and which had not landed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from jobs.errors import FailedDaysError, NotLandedError
from jobs.settings import Settings
from jobs.steps.backfill_options import BackfillOptions
from jobs.steps.backfilled_days import BackfilledDay, DayState, backfilled_days, in_state
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse


def run(warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, options: BackfillOptions) -> None:
    days = backfilled_days(warehouse, ObjectStore(settings.landing_uri), business_dates, options)
    print("\n".join(days_in_words(days)))
    raise_if_incomplete(days, warehouse.run_id)
    warehouse.staging.drop_settings()


def days_in_words(days: Sequence[BackfilledDay]) -> list[str]:
    """Return one line per state that a day is in, and one per day that is not published."""
    lines = []
    for state in DayState:
        found = list(in_state(days, state))
        if found:
            lines.append(f"{state}: {len(found)} {'day' if len(found) == 1 else 'days'}")
        if state not in (DayState.PUBLISHED, DayState.PUBLISHED_BEFORE):
            lines += [f"  {day}" for day in found]
    return lines


def raise_if_incomplete(days: Sequence[BackfilledDay], run_id: str) -> None:
    """Raise FailedDaysError when a day failed or was not reached, NotLandedError when days only have not landed."""
    failed = list(in_state(days, DayState.FAILED, DayState.NOT_BUILT))
    if failed:
        raise FailedDaysError(
            f"{len(failed)} of {len(days)} days are not published: {'; '.join(map(str, failed))}. Fix what the reasons "
            f"name, then run the backfill again under run id '{run_id}': it goes on where it was"
        )
    if not_landed := list(in_state(days, DayState.NOT_LANDED)):
        raise NotLandedError(
            f"{len(not_landed)} of {len(days)} days have not landed: {'; '.join(map(str, not_landed))}. "
            f"When they have, run the backfill again under run id '{run_id}'"
        )
