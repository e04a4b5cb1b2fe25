"""run: runs one step of a night: `python -m jobs.run STEP --business-date D --run-id R`, or spark-submit jobs/run.py.

A step of the DAG cashier_alcohol_window takes one or several business dates: the days that were published.

Exit codes: 0 done; 1 a check failed, another process publishes the day, the object store failed or something broke;
2 bad input or configuration (a retry does not help); 75 the stores have not delivered the day yet; 99 the day was
published again without a change.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from datetime import date
from typing import Any, get_args

from jobs.errors import (
    NOT_LANDED_YET,
    UNCHANGED,
    FailedCheckError,
    FailedDaysError,
    InputError,
    NotLandedError,
    PublishingLockError,
    StoreError,
    UnchangedDayError,
    end_process,
)
from jobs.settings import read_settings
from jobs.steps.backfill_options import BackfillOptions, Published, days_between
from jobs.steps.order import EVERY_STEP, run_step
from jobs.warehouse.layout import path_safe


def main() -> int:
    """Run the step that the command line names, and return the exit code of the process."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("jobs").setLevel(logging.INFO)
    arguments = _parse_arguments()
    try:
        settings = read_settings(os.environ)
        dates = arguments.business_dates or days_between(arguments.first_date, arguments.last_date)
        backfill = BackfillOptions(arguments.published, arguments.days_per_application)
        run_step(arguments.step, dates, arguments.run_id, settings, backfill)
    except NotLandedError as error:
        print(error, file=sys.stderr)
        return NOT_LANDED_YET
    except UnchangedDayError as error:
        print(error)
        return UNCHANGED
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        # A failing store may recover, so Airflow retries exit code 1; it never retries 2.
        return 1 if isinstance(error, StoreError) else 2
    except (PublishingLockError, FailedDaysError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except FailedCheckError as error:
        print(f"check failed: {error}", file=sys.stderr)
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=EVERY_STEP, metavar="STEP", help=", ".join(EVERY_STEP))
    day: dict[str, Any] = {"metavar": "D", "type": date.fromisoformat}
    parser.add_argument("--business-date", dest="business_dates", nargs="+", **day)
    parser.add_argument("--from", dest="first_date", help="first day of a backfill, instead of --business-date", **day)
    parser.add_argument("--to", dest="last_date", help="its last day", **day)
    parser.add_argument(
        "--run-id", type=_path_safe, required=True, help="name of the run: letters, digits, '.', '_' and '-'"
    )
    parser.add_argument(
        "--published", choices=get_args(Published), default="skip", help="days that another run published"
    )
    parser.add_argument(
        "--days-per-application", type=int, default=28, metavar="N", help="days of a chunk of a backfill"
    )
    arguments = parser.parse_args()
    if not arguments.business_dates and not (arguments.first_date and arguments.last_date):
        parser.error("--business-date is missing; a backfill's steps take --from and --to instead")
    return arguments


def _path_safe(run_id: str) -> str:
    try:
        return path_safe(run_id)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    end_process(main())
