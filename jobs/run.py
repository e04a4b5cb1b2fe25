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
import re
import sys
from datetime import date

from jobs.errors import (
    NOT_LANDED_YET,
    UNCHANGED,
    FailedCheckError,
    InputError,
    NotLandedError,
    PublishingLockError,
    StoreError,
    UnchangedDayError,
    end_process,
)
from jobs.settings import read_settings
from jobs.steps.order import EVERY_STEP, run_step


def main() -> int:
    """Run the step that the command line names, and return the exit code of the process."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("jobs").setLevel(logging.INFO)
    arguments = _parse_arguments()
    try:
        settings = read_settings(os.environ)
        run_step(arguments.step, arguments.business_dates, arguments.run_id, settings)
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
    except PublishingLockError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except FailedCheckError as error:
        print(f"check failed: {error}", file=sys.stderr)
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=EVERY_STEP, metavar="STEP", help=", ".join(EVERY_STEP))
    parser.add_argument(
        "--business-date", dest="business_dates", metavar="D", type=date.fromisoformat, nargs="+", required=True
    )
    parser.add_argument(
        "--run-id", type=_path_safe, required=True, help="name of the run: letters, digits, '.', '_' and '-'"
    )
    return parser.parse_args()


def _path_safe(run_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", run_id):
        raise argparse.ArgumentTypeError(f"run id '{run_id}' may contain letters, digits, '.', '_' and '-' only")
    return run_id


if __name__ == "__main__":
    end_process(main())
