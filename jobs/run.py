"""run: one step of a night: `python -m jobs.run STEP --business-date D --run-id R`, or spark-submit jobs/run.py.

A step of the second DAG takes the business dates that were published, one or several.

Exit codes: 0 done, 1 a check failed, another process publishes the day, the object store failed or something broke,
2 bad input or configuration (a retry does not help), 75 the day has not landed yet, 99 it was published as it had been.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING

from jobs.errors import (
    FailedCheckError,
    InputError,
    NotLandedError,
    PublishingLockError,
    StoreError,
    UnchangedDayError,
)
from jobs.object_store import ObjectStore
from jobs.process_end import end_process
from jobs.settings import Settings, read_settings
from jobs.tables import NIGHT_TABLES
from jobs.warehouse import Warehouse
from jobs.window import STEPS as WINDOW_STEPS
from jobs.window import run_window_step, window_announcement
from jobs.worker_errors import told_by_workers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLE_STEPS = tuple(table.name for table in NIGHT_TABLES)
STEPS = ("wait_for_business_date", *TABLE_STEPS, "check_night", "publish_night")
REPORT, RESTATE_REPORTS = "nightly_report", "restate_reports"
"""The page of a published day, and of the second DAG: the pages that show it. What is published stands without."""
ANNOUNCE = "announce_published_day"
"""A step for Airflow alone: whether the published day is news to the DAGs that wait for one."""
NOT_LANDED_YET = 75
UNCHANGED = 99
SECRET_NAMES = "(?i)secret|password|token|access[._]?key|pseudonym_key"
"""Properties whose values Spark hides in its UI, event log and messages; ours are no properties unless put there."""

ENOUGH_EXECUTORS = "0.8"
"""The share of a cluster's executors that a step waits for, half a minute at most, before it counts the cores."""

MOST_BROADCAST = "10MB"
"""What is joined by sending it to all tasks, once it is there: how many rows Python reads, Spark cannot guess."""


def main() -> int:
    """Run the step that the command line names and return the exit code."""
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
        return 1 if isinstance(error, StoreError) else 2
    except PublishingLockError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except FailedCheckError as error:
        print(f"check failed: {error}", file=sys.stderr)
        return 1
    return 0


def run_step(step: str, business_dates: Sequence[date], run_id: str, settings: Settings) -> None:
    """Build one table, or wait, check or publish; each step is the module of its name."""
    store = ObjectStore(settings.warehouse_uri)
    store.check_reachable()
    if step in WINDOW_STEPS:
        warehouse = Warehouse(store, run_id)
        last_dates = run_window_step(warehouse, step, business_dates, settings)
        if step == WINDOW_STEPS[-1]:
            print(json.dumps([window_announcement(warehouse, day, settings) for day in last_dates]))
        return
    for business_date in business_dates:
        session = spark_session(f"{step} {business_date}") if step in TABLE_STEPS else None
        with told_by_workers():
            import_module(f"jobs.{step}").run(Warehouse(store, run_id, session, _try_number()), business_date, settings)


def _try_number() -> int | None:
    """Return the try of the task that runs this step, as Airflow tells it to the process; None without Airflow."""
    told = os.environ.get("AIRFLOW_CTX_TRY_NUMBER", "")
    return int(told) if told.isdecimal() else None


def spark_session(name: str) -> SparkSession:
    """Start Spark, on the master that spark-submit or the environment names, else on all cores of this machine."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.appName(f"checkout-ages {name}")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.redaction.regex", SECRET_NAMES)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.autoBroadcastJoinThreshold", "-1")
        .config("spark.sql.adaptive.autoBroadcastJoinThreshold", MOST_BROADCAST)
        .config("spark.scheduler.minRegisteredResourcesRatio", ENOUGH_EXECUTORS)
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    if not session.sparkContext.getConf().contains("spark.sql.shuffle.partitions"):
        session.conf.set("spark.sql.shuffle.partitions", max(4, 2 * session.sparkContext.defaultParallelism))
    return session


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = (*STEPS, REPORT, ANNOUNCE, *WINDOW_STEPS, RESTATE_REPORTS)
    parser.add_argument("step", choices=steps, metavar="STEP", help=", ".join(steps))
    parser.add_argument(
        "--business-date", dest="business_dates", metavar="D", type=date.fromisoformat, nargs="+", required=True
    )
    parser.add_argument("--run-id", type=_path_safe, required=True, help="letters, digits, '.', '_' and '-'")
    return parser.parse_args()


def _path_safe(run_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}", run_id):
        raise argparse.ArgumentTypeError(f"run id '{run_id}' may hold letters, digits, '.', '_' and '-' only")
    return run_id


if __name__ == "__main__":
    end_process(main())
