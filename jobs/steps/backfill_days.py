"""backfill_days: builds, checks and publishes a chunk of days one after the other, in one Spark application.

Each day takes the steps of a night, under the same lock and refusals. A day that fails does not stop the others. What
an earlier process of the same run has staged for a day is taken over, so no photo is inferred again. For each day one
line of JSON is printed, and one line of the log says how far the chunk has come.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from jobs.errors import (
    FailedCheckError,
    InputError,
    NotLandedError,
    PublishingLockError,
    StoreError,
    first_line,
)
from jobs.settings import Settings
from jobs.steps.backfill_options import BackfillOptions
from jobs.steps.backfilled_days import BackfilledDay, DayState, backfilled_day
from jobs.steps.order import run_night
from jobs.steps.plan_backfill import refuse_other_settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Failure
from jobs.warehouse.warehouse import Warehouse

log = logging.getLogger(__name__)

TO_BUILD = (DayState.FAILED, DayState.NOT_LANDED, DayState.NOT_BUILT)


@dataclass
class Progress:
    """How far a number of days has come. Only days that were built tell how long the others will take."""

    day_count: int
    done_count: int = 0
    built_count: int = 0
    photo_count: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, is_built: bool, photo_count: int) -> None:
        """Count a day that is done, and the photos that it had if it was built."""
        self.done_count += 1
        self.built_count += is_built
        self.photo_count += photo_count

    def __str__(self) -> str:
        seconds = time.monotonic() - self.began
        done = f"{self.done_count} of {self.day_count} days done"
        if not self.built_count:
            return done
        left = seconds / self.built_count * (self.day_count - self.done_count)
        return f"{done}, {self.photo_count / seconds:.1f} photos/s, about {_in_words(left)} left"


def run(warehouse: Warehouse, business_dates: Sequence[date], settings: Settings, options: BackfillOptions) -> None:
    refuse_other_settings(warehouse, settings)
    progress = Progress(len(business_dates))
    for business_date in business_dates:
        was_published = warehouse.runs.has_own(business_date)
        day = backfill_day(warehouse, business_date, settings, options)
        is_built = day.state is DayState.PUBLISHED and not was_published
        photo_count = _photo_count(warehouse, business_date) if is_built else 0
        progress.add(is_built, photo_count)
        told = {"business_date": business_date.isoformat(), "state": day.state, "photo_count": photo_count}
        print(json.dumps(told | {"is_built": is_built}), flush=True)
        log.info("%s %s%s; %s", business_date, day.state, f": {day.reason}" if day.reason else "", progress)


def backfill_day(
    warehouse: Warehouse, business_date: date, settings: Settings, options: BackfillOptions
) -> BackfilledDay:
    """Build, check and publish a day unless it is published; return its state.

    Raises what stops all days: StoreError when the warehouse cannot be reached, Spark's error when Spark has ended.
    """
    landing = ObjectStore(settings.landing_uri)
    before = backfilled_day(warehouse, landing, business_date, options)
    if before.state is DayState.PUBLISHED:
        # A process that was killed after its commit mark left it. No lock: nobody builds the day under this run again.
        warehouse.staging.drop(business_date)
        return BackfilledDay(business_date, DayState.PUBLISHED, "by an earlier process of this run")
    if before.state not in TO_BUILD:
        return before
    _begin_again_after_failure(warehouse, business_date)
    failure = _failure(warehouse, business_date, settings)
    if failure:
        warehouse.staging.mark_failed(business_date, failure)
        _raise_if_all_would_fail(warehouse)
        return BackfilledDay(business_date, DayState.FAILED, failure.reason)
    return backfilled_day(warehouse, landing, business_date, options)


def _failure(warehouse: Warehouse, business_date: date, settings: Settings) -> Failure | None:
    """Take the day through the steps of a night; return why it failed, None when it is published or has not landed."""
    try:
        run_night(warehouse, business_date, settings, _log_step, takes_over_staged=True)
    except NotLandedError:
        return None
    except (StoreError, PublishingLockError) as error:  # the same staged tables may be published by the next try
        return Failure(str(error), is_final=False)
    except (InputError, FailedCheckError) as error:
        return Failure(str(error), is_final=True)
    except Exception as error:
        # Whatever breaks one day, such as a photo that ends a worker, must not keep the others from being built.
        log.exception("%s broke", business_date)
        return Failure(f"{type(error).__name__}: {first_line(error)}", is_final=False)
    return None


def _begin_again_after_failure(warehouse: Warehouse, business_date: date) -> None:
    """Forget the failure of an earlier try, and the tables with which the day would fail again."""
    failure = warehouse.staging.failure(business_date)
    if failure and failure.is_final:
        warehouse.staging.drop(business_date)
    elif failure:
        warehouse.staging.forget_failure(business_date)


def _raise_if_all_would_fail(warehouse: Warehouse) -> None:
    warehouse.store.check_reachable()
    warehouse.spark.range(1).count()


def _photo_count(warehouse: Warehouse, business_date: date) -> int:
    own = warehouse.runs.own(business_date)
    return int(own["landed_photo_count"]) if own else 0


def _log_step(step: str, seconds: float) -> None:
    log.debug("%s took %.1f s", step, seconds)


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
