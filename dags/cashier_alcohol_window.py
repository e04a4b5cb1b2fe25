"""Cashiers over a trailing window: how often each asks for an ID, compared with others at the same till and hours.

**When.** After each publish of `checkout_ages_nightly` that changes a table: its `announce_published_day` sends the
business date in an event of the asset `checkout_ages_published_day`. One run at a time: days that are published
meanwhile wait, and the next run takes them together.

**What.** `plan_windows` records which windows the published days change: the one that ends on each of them, and
published ones that hold it.
A window is 28 days long (`CHECKOUT_AGES_WINDOW_DAYS`); days of it that are not published are left out, not waited for.
`cashier_alcohol_audit` stages its rows of each window, `reviewed_cases` stages what reviewers have found in the cases
of its days since, and `review_precision` what that says about the lists. `check_window` judges them. `publish_window`
publishes them, with the results of all rules in `window_check_results`, and then a row in `window_runs` as the mark
that a window is published. A run publishes none of its windows unless every check holds for all of them.
`restate_reports` rewrites the pages of the days, which show the windows.

**What others may wait for.** One asset per table, such as `checkout_ages_cashier_alcohol_audit`, with an event for each
published window. Its extra holds the last business date, the run, the number of rows and the place of the report.

**Which exit code means what.** 0 done; 1 a check failed or something broke, retried twice; 2 bad input or
configuration, not retried, because a retry would not help. The sentence in the task's log that begins with `error:` or
`check failed:` names the thing and the way out.

**Run a window by hand, or again.** For a day whose night is published. The run is idempotent.

    airflow dags trigger cashier_alcohol_window --conf '{"business_date": "2026-11-20"}'

**Backfill.** Backfill the nights, in any order: each of them brings the windows that hold it up to date.

**Recover.** A killed or failed task can be cleared at any time: it finds the staging of its own run, and leaves the
published windows unchanged. If a night is published again while a window with it is built, the window fails
`check_window`; the run that this night triggers builds the window again.

**Credentials** of the object store are those of `checkout_ages_nightly`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, Context
from airflow.sdk.exceptions import AirflowFailException
from job_tasks import (
    DEFAULT_ARGS,
    PUBLISHED_DAY,
    PUBLISHED_TABLES,
    business_date_param,
    path_safe,
    step_command,
    tell_tables,
)

OPTIONS = (
    "--business-date {{ business_dates(params, triggering_asset_events) }}",
    "--run-id window-{{ path_safe(run_id) }}",
)


def business_dates(params: Mapping[str, Any], triggering_asset_events: Mapping[Asset, Sequence[Any]]) -> str:
    """Return the published days that a run is for: the day it was asked for, else those of its events, in order."""
    if params["business_date"]:
        return date.fromisoformat(params["business_date"]).isoformat()
    events = triggering_asset_events.get(PUBLISHED_DAY, [])
    # A set: a day that was published twice while a run was on is planned once.
    published = {date.fromisoformat(event.extra["business_date"]) for event in events if "business_date" in event.extra}
    if not published:
        raise AirflowFailException('this run is for no day: trigger it with --conf \'{"business_date": "2026-11-20"}\'')
    return " ".join(day.isoformat() for day in sorted(published))


def tell_the_windows(context: Context, result: Any) -> None:
    """Put the last line that the step printed into an event for each table of each window."""
    for told in json.loads(result):
        tell_tables(context, told, told["row_counts"])


def step(name: str, **options: Any) -> BashOperator:
    """Return the task of a step; the task handles all windows of the run."""
    return BashOperator(task_id=name, bash_command=step_command(name, *OPTIONS), **options)


with DAG(
    "cashier_alcohol_window",
    description="What the published days of the last weeks say of how cashiers ask for an ID",
    doc_md=__doc__,
    schedule=[PUBLISHED_DAY],
    catchup=False,
    # Days that are published while a run is on wait, and the next run takes them together.
    max_active_runs=1,
    params=business_date_param("published day; empty: those of the events"),
    user_defined_macros={"business_dates": business_dates, "path_safe": path_safe},
    default_args=DEFAULT_ARGS,
    tags=["checkout-ages"],
):
    plan_windows = step("plan_windows")
    cashier_alcohol_audit = step("cashier_alcohol_audit")
    reviewed_cases = step("reviewed_cases")
    review_precision = step("review_precision")
    check_window = step("check_window")
    publish_window = step("publish_window", outlets=[PUBLISHED_TABLES], post_execute=tell_the_windows)
    restate_reports = step("restate_reports")

    plan_windows >> [cashier_alcohol_audit, reviewed_cases]
    reviewed_cases >> review_precision
    [cashier_alcohol_audit, review_precision] >> check_window >> publish_window >> restate_reports
