"""Deletes photos from the landing after their retention period, and records it in retention_runs; receipts stay.

**When.** Every day at 05:00 in the stores' time zone (`CHECKOUT_AGES_STORE_TIME_ZONE`).

**What.** One task, `checkout-ages retain`. It deletes photos of business dates more than 31 days ago
(`CHECKOUT_AGES_PHOTO_RETENTION_DAYS`), and everything else in their folders except `_SUCCESS`. A published day keeps
its tables. From then on a night of that day is refused with exit code 2, because it would publish fewer photos.

**Run it by hand**, for an earlier date, or to see what it would delete:

    airflow dags trigger checkout_ages_retention --conf '{"as_of": "2026-11-20"}'
    checkout-ages retain --dry-run

**Recover.** A killed or failed task can be cleared at any time: it continues where it was, and the records add up to
what was deleted.

**Credentials** of the object store are those of `checkout_ages_nightly`; they must allow deletion below `photos/`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param
from job_tasks import DEFAULT_ARGS, cli_command

STORE_TIME_ZONE = ZoneInfo(os.environ.get("CHECKOUT_AGES_STORE_TIME_ZONE", "Europe/Moscow"))


def as_of_option(params: Mapping[str, Any]) -> str:
    """Return the command-line option `--as-of` with the date to count back from, or an empty text for today."""
    return f"--as-of {date.fromisoformat(params['as_of']).isoformat()}" if params["as_of"] else ""


with DAG(
    "checkout_ages_retention",
    description="Deletes photos after their retention period",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 5 * * *", timezone=str(STORE_TIME_ZONE)),
    start_date=datetime(2000, 1, 1, tzinfo=STORE_TIME_ZONE),
    catchup=False,
    max_active_runs=1,
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date", description="date to count back from; if empty, today"
        )
    },
    user_defined_macros={"as_of_option": as_of_option},
    default_args=DEFAULT_ARGS,
    tags=["checkout-ages"],
):
    retain = BashOperator(task_id="retain", bash_command=cli_command("retain", "{{ as_of_option(params) }}"))
