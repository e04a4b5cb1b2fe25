"""backfilled_days: the state of each day of a backfill, read from the warehouse and the landing.

Nothing else remembers how far a backfill has come. So it can be killed anywhere and run again under its run id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from jobs.landing.deliveries import missing_markers
from jobs.steps.backfill_options import BackfillOptions
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

THREADS = 16
"""Days that are looked up at a time; each takes a few short requests of the store."""


class DayState(StrEnum):
    """What has become of a day of a backfill."""

    PUBLISHED = "published"
    PUBLISHED_BEFORE = "published before"
    FAILED = "failed"
    NOT_LANDED = "not landed"
    NOT_BUILT = "not built"


@dataclass(frozen=True)
class BackfilledDay:
    """A day of a backfill; `reason` says why it is not published, or by which run it was before."""

    business_date: date
    state: DayState
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.business_date}: {self.reason}"


def backfilled_days(
    warehouse: Warehouse, landing: ObjectStore, days: Iterable[date], options: BackfillOptions
) -> list[BackfilledDay]:
    """Return the state of each day, in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda day: backfilled_day(warehouse, landing, day, options), days))


def backfilled_day(
    warehouse: Warehouse, landing: ObjectStore, business_date: date, options: BackfillOptions
) -> BackfilledDay:
    """Return the state of one day. A day that this run has published is never built again."""
    if warehouse.runs.has_own(business_date):
        return BackfilledDay(business_date, DayState.PUBLISHED)
    other = warehouse.runs.published(business_date) if options.published != "restate" else None
    if other:
        return BackfilledDay(business_date, DayState.PUBLISHED_BEFORE, f"published by run '{other['run_id']}'")
    if failure := warehouse.staging.failure(business_date):
        return BackfilledDay(business_date, DayState.FAILED, failure.reason)
    if missing := missing_markers(landing, business_date):
        return BackfilledDay(business_date, DayState.NOT_LANDED, f"missing {' and '.join(missing)}")
    return BackfilledDay(business_date, DayState.NOT_BUILT, "landed and not built")


def in_state(days: Iterable[BackfilledDay], *states: DayState) -> Iterator[BackfilledDay]:
    """Yield the days that are in one of some states."""
    return (day for day in days if day.state in states)
