"""The 28-day windows: how often each cashier asks for an ID, compared with others, and how right the review lists were.

**When.** After each publish of `checkout_ages_nightly` that changes a table: its `announce_published_day` sends the
business date in an event of the asset `checkout_ages_published_day`. One run at a time: days that are published
meanwhile wait, and the next run takes them together.

**What.** `plan_windows` lists the windows that contain a published day: the window that ends on the day, and later
windows that are published already. A window is 28 days long (`CHECKOUT_AGES_WINDOW_DAYS`). Its days that are not
published are left out; nothing waits for them. For each window, `cashier_alcohol_audit` compares the cashiers,
`reviewed_cases` collects what reviewers found in the cases of its days, and `review_precision` measures how many listed
cases were found under age. `check_window` checks these tables. `publish_window` publishes them with the results of all
rules (`window_check_results`), and writes a row of `window_runs` last, as the commit mark. If a check fails for one
window, the run publishes none. `restate_reports` rewrites the report pages that show the windows.

**What others may wait for.** One asset per table, such as `checkout_ages_cashier_alcohol_audit`, with an event for each
published window. Its extra holds the last business date, the run, the number of rows and the address of the report.

**Which exit code means what.** 0 done; 1 a check failed or something broke, retried twice; 2 bad input or
configuration, not retried, because a retry would not help. The sentence in the task's log that begins with `error:` or
`check failed:` says what is wrong and how to fix it.

**Run a window by hand, or again.** The night of the day must be published. The run is idempotent.

    airflow dags trigger cashier_alcohol_window --conf '{"business_date": "2026-11-20"}'

**Backfill.** Backfill the nights, in any order: each night has the windows that contain it rebuilt.

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
    """Return the published days that a run handles: the day of its parameter, or the days of its triggering events."""
    if params["business_date"]:
        return date.fromisoformat(params["business_date"]).isoformat()
    events = triggering_asset_events.get(PUBLISHED_DAY, [])
    # A set: a day that was published twice while a run was on is planned once.
    published = {date.fromisoformat(event.extra["business_date"]) for event in events if "business_date" in event.extra}
    if not published:
        raise AirflowFailException(
            'this run has no business date: trigger it with --conf \'{"business_date": "2026-11-20"}\''
        )
    return " ".join(day.isoformat() for day in sorted(published))


def tell_the_windows(context: Context, result: Any) -> None:
    """Send the JSON line that the step printed last as an Airflow event for each table of each window."""
    for told in json.loads(result):
        tell_tables(context, told, told["row_counts"])


def step(name: str, **options: Any) -> BashOperator:
    """Return the Airflow task of a step, which handles all windows of the run."""
    return BashOperator(task_id=name, bash_command=step_command(name, *OPTIONS), **options)


with DAG(
    "cashier_alcohol_window",
    description="Compares how often cashiers ask for an ID, over the 28 days up to each published day",
    doc_md=__doc__,
    schedule=[PUBLISHED_DAY],
    catchup=False,
    # Days that are published while a run is on wait, and the next run takes them together.
    max_active_runs=1,
    params=business_date_param("published day; if empty, the days of the triggering events"),
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
