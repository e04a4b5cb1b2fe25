"""Past days, many in one Spark application: build, check and publish each of them, then windows and reports once.

**When.** Only when someone triggers it, with the first and the last day:

    airflow dags trigger checkout_ages_backfill --conf '{"from_date": "2025-11-20", "to_date": "2026-11-19"}'

Use it for more than a few days. `airflow backfill create` on `checkout_ages_nightly` runs a whole night for each day:
it starts Spark seven times a day, and shows each day as a run of its own. Without Airflow, `checkout-ages backfill`
does the same as this DAG.

**What.** `plan_backfill` cuts the days into chunks of 28 (`days_per_application`). Each chunk is one mapped task,
`backfill_days`, and one Spark application, which takes its days through the steps of a night one after the other. So
many applications run at a time as `CHECKOUT_AGES_BACKFILL_APPLICATIONS` says, 1 unless set; their tasks take slots of
the pool `checkout_ages_backfill`, so tonight's run keeps its own. `finish_backfill` builds the windows that the days
change, and the report pages. `conclude_backfill` says which days are published, which failed and why, and which had not
landed.

**Days that are published already.** `published` says what to do with those of another run: `skip` them, `restate` them,
or `fail` before anything is built. Days that this run has published are never built again.

**Which exit code means what.** `plan_backfill`: 2 bad input, such as other settings than the run began with.
`backfill_days`: 0 all days of the chunk were tried; 1 the store or Spark broke: retried twice. A day that fails does
not stop the others, and is not retried. `conclude_backfill`: 0 all days are published; 1 a day failed; 75 all but days
that have not landed.

**What others may wait for.** One asset per table, such as `checkout_ages_age_group_purchases`, with an event for each
day that changed it. `checkout_ages_published_day` gets no event: the windows are built here.

**Recover.** A killed or failed `backfill_days` can be cleared at any time: it leaves published days as they are, and
takes over what is staged, so no photo is inferred again. To try failed days again, clear all tasks of the run, or
trigger a new run with `run_id` set to the id that `conclude_backfill` names.

**Credentials** of the object store and Spark's master are those of `checkout_ages_nightly`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Context, Param, TriggerRule
from airflow.sdk.exceptions import AirflowFailException
from job_tasks import DEFAULT_ARGS, PUBLISHED_TABLES, path_safe, step_command, tell_tables

RUN_PY = Path(__file__).resolve().parent.parent / "jobs" / "run.py"
APPLICATIONS = int(os.environ.get("CHECKOUT_AGES_BACKFILL_APPLICATIONS", "1"))
OPTIONS = (
    "--from {{ day(params, 'from_date') }} --to {{ day(params, 'to_date') }}",
    "--run-id {{ path_safe(params.run_id or run_id) }}",
    "--published {{ params.published }}",
)
AFTER_THE_PLAN = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
"""Run when all tasks before are done, even if some failed, but not when there is no plan."""


def day(params: Mapping[str, Any], name: str) -> str:
    """Return a day that the run was asked for. Raises AirflowFailException when it was not."""
    if not params[name]:
        raise AirflowFailException(
            f'{name} is missing: trigger the run with --conf \'{{"from_date": "2025-11-20", "to_date": "2026-11-19"}}\''
        )
    return date.fromisoformat(params[name]).isoformat()


def tell_the_days(context: Context, result: Any) -> None:
    """Put the last line that the step printed into an event for each table of each day that changed it."""
    for told in json.loads(result):
        tell_tables(context, told, told["changed_tables"])


def step(name: str, *options: str, **arguments: Any) -> BashOperator:
    """Return the task of a step without Spark, for all days of the backfill."""
    return BashOperator(task_id=name, bash_command=step_command(name, *OPTIONS, *options), **arguments)


def day_param(words: str) -> Param:
    """Return the parameter for a day."""
    return Param(None, type=["null", "string"], format="date", description=words)


with DAG(
    "checkout_ages_backfill",
    description="Past days to published tables, many days in one Spark application",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "from_date": day_param("first day"),
        "to_date": day_param("last day"),
        "days_per_application": Param(28, type="integer", minimum=1, description="days of one Spark application"),
        "published": Param(
            "skip", type="string", enum=["skip", "restate", "fail"], description="days that another run published"
        ),
        "run_id": Param(
            None, type=["null", "string"], description="run id of a backfill to continue; empty: a new one"
        ),
    },
    user_defined_macros={"day": day, "path_safe": path_safe},
    default_args=DEFAULT_ARGS,
    tags=["checkout-ages"],
):
    plan_backfill = step(
        "plan_backfill",
        "--days-per-application {{ params.days_per_application }}",
        output_processor=json.loads,
        do_xcom_push=True,
    )
    backfill_days = SparkSubmitOperator.partial(
        task_id="backfill_days",
        name="checkout-ages backfill_days",
        application=str(RUN_PY),
        max_active_tis_per_dagrun=APPLICATIONS,
    ).expand(application_args=plan_backfill.output)
    finish_backfill = step(
        "finish_backfill", trigger_rule=AFTER_THE_PLAN, outlets=[PUBLISHED_TABLES], post_execute=tell_the_days
    )
    # It only says what is so: a retry would say the same.
    conclude_backfill = step("conclude_backfill", trigger_rule=AFTER_THE_PLAN, retries=0)

    backfill_days >> finish_backfill >> conclude_backfill
    plan_backfill >> [finish_backfill, conclude_backfill]
