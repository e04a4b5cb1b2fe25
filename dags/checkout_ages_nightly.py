"""One night: the photos and receipts of one business date become one partition of each table.

**When.** Every night at 03:00 in the stores' time zone (`CHECKOUT_AGES_STORE_TIME_ZONE`), for the day that has just
ended: the business date is the date on which the run's data interval starts, in the stores' time zone.

**What.** `wait_for_business_date` looks once a minute for the `_SUCCESS` marks of photos and receipts, for twelve hours
(`CHECKOUT_AGES_LANDING_TIMEOUT_SECONDS`), and its log names the missing mark. Then each table is one task,
`jobs/run.py TABLE`, which stages its rows where readers do not see them: a Spark application where rows grow with
photos or receipt lines, DuckDB or numpy in the task's own process where a table is small by nature. `transaction_lines`
also stages `rejected_transaction_lines`. `check_night` checks the staged tables by rules, and `publish_night` publishes
them. If a *fail* rule is broken, nothing is published.
`announce_published_day` then triggers the DAG `cashier_alcohol_window`, which builds the 28-day windows. It is skipped
when the day was run again and no table changed; `changed_tables` of `pipeline_runs` names the tables that changed.
`nightly_report` writes the report page of the day and the index of all days to `reports/` in the warehouse. The task's
page in Airflow links to it; CHECKOUT_AGES_REPORTS_URL is its address for browsers. If the task fails, the published
tables stay valid: clear that task alone.

**What others may wait for.** The asset `checkout_ages_published_day`, and one asset per table, such as
`checkout_ages_age_group_purchases`, with an event for each day that changed it. The event's extra holds the business
date, the run, the number of rows and the address of the day's report.

**Which exit code means what.** 0 done; 1 a check failed, another process publishes the day, or something broke: retried
twice; 2 bad input or configuration, not retried, because a retry would not help; 75 the day is not delivered yet; 99 no
table has changed. The sentence in the task's log that begins with `error:` or `check failed:` says what is wrong and
how to fix it.

**Run a day by hand, or again.** The run is idempotent.

    airflow dags trigger checkout_ages_nightly --conf '{"business_date": "2026-11-20"}'

**Backfill.** For more than a few days, take the DAG `checkout_ages_backfill`. Days do not depend on each other, so they
can run in any order.

    airflow backfill create --dag-id checkout_ages_nightly --from-date 2026-11-18 --to-date 2026-11-20

A date without a time is midnight UTC, which is 03:00 in Moscow; for stores elsewhere write 03:00 with their offset.

The runs of a backfill do not count towards `max_active_runs`; `--max-active-runs` says how many of them run at a time.
If `docker/airflow_local_settings.py` is in $AIRFLOW_HOME/config, their tasks use the pool `checkout_ages_backfill`.

**Alerts.** A task that fails and is not retried, and a run that has not ended six hours after it was queued
(`CHECKOUT_AGES_NIGHT_DEADLINE_SECONDS`), are reported in one line of a log, and to a webhook if there is a connection
`checkout_ages_alerts` (type http; host: its URL). Define it in the environment, because code for a missed deadline can
read no other connection. `airflow dags test` cannot handle deadlines: set the variable to 0 for it.

**Recover.** A killed or failed task can be cleared at any time: it finds the staging of its own run, replaces its own
table, and leaves the published tables unchanged. The lock of a `publish_night` that died is taken over after four
minutes, so its retry after five minutes succeeds. If a day was delivered late or corrected, run it again by hand.

**Credentials** of the object store come from the environment (`AWS_ACCESS_KEY_ID`, …), or from the connection
`checkout_ages_object_store` (type aws; extra `endpoint_url`, `region_name`) if there is one. Spark's master is the
connection `spark_default`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.sdk import (
    DAG,
    BaseOperatorLink,
    Context,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    SyncCallback,
)
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.xcom import XCom
from alerts import tell_of_lateness
from job_tasks import (
    DEFAULT_ARGS,
    PUBLISHED_DAY,
    PUBLISHED_TABLES,
    business_date_param,
    path_safe,
    step_command,
    tell_tables,
)

RUN_PY = Path(__file__).resolve().parent.parent / "jobs" / "run.py"
STORE_TIME_ZONE = ZoneInfo(os.environ.get("CHECKOUT_AGES_STORE_TIME_ZONE", "Europe/Moscow"))
LANDING_TIMEOUT = timedelta(seconds=int(os.environ.get("CHECKOUT_AGES_LANDING_TIMEOUT_SECONDS", "43200")))
NIGHT_DEADLINE = timedelta(seconds=int(os.environ.get("CHECKOUT_AGES_NIGHT_DEADLINE_SECONDS", "21600")))
NOT_LANDED_YET = 75
UNCHANGED = 99
OPTIONS = ["--business-date", "{{ business_date(params, dag_run) }}", "--run-id", "{{ path_safe(run_id) }}"]


def business_date(params: Mapping[str, Any], dag_run: Any) -> str:
    """Return the business date of a run: its parameter, or else the day on which its data interval starts."""
    if params["business_date"]:
        return date.fromisoformat(params["business_date"]).isoformat()
    if dag_run.data_interval_start is None:
        raise AirflowFailException(
            f"run '{dag_run.run_id}' has no business date: trigger it with "
            '--conf \'{"business_date": "2026-11-20"}\''
        )
    # The interval is in UTC; its date there may be the day before.
    return dag_run.data_interval_start.astimezone(STORE_TIME_ZONE).date().isoformat()


def deadline(after: timedelta) -> DeadlineAlert | None:
    """Return the alert for a night that has not ended the given time after it was queued; None for zero."""
    queued, callback = DeadlineReference.DAGRUN_QUEUED_AT, SyncCallback(tell_of_lateness)
    return DeadlineAlert(reference=queued, interval=after, callback=callback) if after else None


def tell_the_day(context: Context, result: Any) -> None:
    """Send the JSON line that the step printed last as Airflow events of the day and of its changed tables."""
    told = json.loads(result)
    context["outlet_events"][PUBLISHED_DAY].extra.update(told)
    tell_tables(context, told, told["changed_tables"])


class ReportLink(BaseOperatorLink):
    """A button on the task's page in Airflow that opens the day's report."""

    name = "Report of the day"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the report's URL, or its URI in the warehouse; an empty text while the task has not ended."""
        return XCom.get_value(ti_key=ti_key, key="return_value") or ""


class ReportOperator(BashOperator):
    """A BashOperator with a link to the day's report on its task's page."""

    operator_extra_links = (ReportLink(),)


def step(name: str) -> str:
    """Return the shell command that runs a step of the night that needs no Spark."""
    return step_command(name, *OPTIONS)


def small_table(name: str) -> BashOperator:
    """Return the task that stages the few rows of a table without Spark."""
    return BashOperator(task_id=name, bash_command=step(name))


def table(name: str) -> SparkSubmitOperator:
    """Return the Airflow task that builds and stages a table of the day with Spark."""
    return SparkSubmitOperator(
        task_id=name, name=f"checkout-ages {name}", application=str(RUN_PY), application_args=[name, *OPTIONS]
    )


with DAG(
    "checkout_ages_nightly",
    description="Builds, checks and publishes one day's tables from its checkout photos and receipts",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone=str(STORE_TIME_ZONE)),
    start_date=datetime(2000, 1, 1, tzinfo=STORE_TIME_ZONE),
    catchup=False,
    max_active_runs=2,
    deadline=deadline(NIGHT_DEADLINE),
    params=business_date_param("day to run; if empty, the day of the data interval"),
    user_defined_macros={"business_date": business_date, "path_safe": path_safe},
    default_args=DEFAULT_ARGS,
    tags=["checkout-ages"],
):
    wait_for_business_date = BashSensor(
        task_id="wait_for_business_date",
        bash_command=step("wait_for_business_date"),
        retry_exit_code=NOT_LANDED_YET,
        # Waits up to twelve hours, so it must not hold a worker slot between looks.
        mode="reschedule",
        timeout=LANDING_TIMEOUT,
        poke_interval=min(timedelta(minutes=1), LANDING_TIMEOUT / 4),
    )
    checkout_photos = table("checkout_photos")
    photo_age_estimates = table("photo_age_estimates")
    transaction_lines = table("transaction_lines")
    transaction_ages = table("transaction_ages")
    age_mixes = table("age_mixes")
    age_group_purchases = table("age_group_purchases")
    age_group_affinity = small_table("age_group_affinity")
    alcohol_sale_audit = table("alcohol_sale_audit")
    alcohol_review_cases = small_table("alcohol_review_cases")
    photo_coverage = small_table("photo_coverage")
    cashier_alcohol_days = small_table("cashier_alcohol_days")
    check_night = BashOperator(task_id="check_night", bash_command=step("check_night"))
    publish_night = BashOperator(task_id="publish_night", bash_command=step("publish_night"))
    nightly_report = ReportOperator(task_id="nightly_report", bash_command=step("nightly_report"), do_xcom_push=True)
    announce_published_day = BashOperator(
        task_id="announce_published_day",
        bash_command=step("announce_published_day"),
        skip_on_exit_code=UNCHANGED,
        outlets=[PUBLISHED_DAY, PUBLISHED_TABLES],
        post_execute=tell_the_day,
    )

    wait_for_business_date >> [checkout_photos, transaction_lines]
    checkout_photos >> photo_age_estimates
    [photo_age_estimates, transaction_lines] >> transaction_ages
    transaction_ages >> [age_mixes, photo_coverage]
    age_mixes >> [age_group_purchases, age_group_affinity, alcohol_sale_audit]
    alcohol_sale_audit >> [alcohol_review_cases, cashier_alcohol_days]
    [age_group_purchases, age_group_affinity, alcohol_review_cases, cashier_alcohol_days, photo_coverage] >> check_night
    check_night >> publish_night >> [announce_published_day, nightly_report]
