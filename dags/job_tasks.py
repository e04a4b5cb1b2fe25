"""job_tasks: what all DAGs share to run a step of jobs/run.py as an Airflow task: command, credentials and retries.

DAGs import it by its bare name, because Airflow puts its DAG folder on the module path.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetAlias, BaseHook, Context, Param, RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowNotFoundException
from alerts import tell_of_failure

OBJECT_STORE_CONNECTION = "checkout_ages_object_store"
PUBLISHED_DAY = Asset("checkout_ages_published_day")
"""The asset of published days. It has an event each time a day is published, for the first time or with a change.

An event's extra holds `business_date`, `run_id`, `row_counts` by table, `changed_tables` and `report`, a URI.
"""
PUBLISHED_TABLES = AssetAlias("checkout_ages_published_tables")
"""Alias for one asset per table, `checkout_ages_TABLE`, with an event for each day that changed the table.

The extra holds `business_date`, `run_id`, `row_count` and `report`.
"""


def path_safe(run_id: str) -> str:
    """Turn an Airflow run id into a folder name, the same for all tasks and tries of the run."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", run_id)


def export_object_store_credentials(context: Context) -> None:
    """Copy the object store's credentials from the Airflow connection into the environment of the task's process.

    So no template, command line or log shows them.
    """
    try:
        connection = BaseHook.get_connection(OBJECT_STORE_CONNECTION)
    except AirflowNotFoundException:
        return
    extra = connection.extra_dejson
    credentials = {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        "AWS_REGION": extra.get("region_name"),
        "AWS_ENDPOINT_URL": extra.get("endpoint_url"),
    }
    os.environ.update({name: value for name, value in credentials.items() if value})


class NoRetryOfBadInput(RetryPolicy):
    """Retry policy that does not retry exit code 2 of jobs/run.py: bad input or configuration stays bad."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide whether Airflow retries: not after exit code 2, which the two operators report in different words."""
        if re.search(r"(exit code|Error code is:) 2\.", str(exception)):
            return RetryDecision.fail("bad input or configuration: fix it, then clear the task")
        return RetryDecision.default()


DEFAULT_ARGS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=int(os.environ.get("CHECKOUT_AGES_TASK_RETRY_DELAY_SECONDS", "300"))),
    "retry_policy": NoRetryOfBadInput(),
    "pre_execute": export_object_store_credentials,
    "on_failure_callback": tell_of_failure,
    "do_xcom_push": False,
}


def tell_tables(context: Context, told: Mapping[str, Any], names: Iterable[str]) -> None:
    """Add an Airflow event for each of the named tables, from the JSON line that a step printed (`told`)."""
    of_the_run = {name: told[name] for name in ("business_date", "run_id", "report")}
    for name in names:
        extra = of_the_run | {"row_count": told["row_counts"].get(name)}
        context["outlet_events"][PUBLISHED_TABLES].add(Asset(f"checkout_ages_{name}"), extra)


def business_date_param(words: str) -> dict[str, Param]:
    """Return the DAG parameter `business_date`, with its description in `words`."""
    return {"business_date": Param(None, type=["null", "string"], format="date", description=words)}


def step_command(name: str, *options: str) -> str:
    """Return the shell command that runs a step of jobs/run.py that needs no Spark."""
    # `exec` replaces the shell, so that a signal of Airflow reaches the step itself.
    return " ".join(["exec", shlex.quote(sys.executable), "-m jobs.run", name, *options])


def cli_command(name: str, *options: str) -> str:
    """Return the shell command that runs a `checkout-ages` command that needs no Spark."""
    return " ".join(["exec", shlex.quote(sys.executable), "-m jobs.cli", name, *options])
