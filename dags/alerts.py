"""alerts: writes one log line about each task that failed for good, and about each night that is late.

If there is a connection `checkout_ages_alerts` (type http; host: a webhook's URL), the line is also sent there, as JSON
with the field `text`, which Slack, Mattermost and others accept. A webhook that fails never fails a task.

Define it as the variable AIRFLOW_CONN_CHECKOUT_AGES_ALERTS in the environment of scheduler and workers. In Airflow 3.3,
code that runs when a deadline is missed cannot read connections from Airflow's database (apache/airflow#66141).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.sdk import BaseHook, Context
from airflow.sdk.exceptions import AirflowNotFoundException

WEBHOOK_CONNECTION = "checkout_ages_alerts"

log = logging.getLogger(__name__)


def tell_of_failure(context: Context) -> None:
    """Alert that a task failed and is not retried, with the address of its log."""
    task = context["task_instance"]
    tell(f"{task.dag_id}: {task.task_id} failed in run {task.run_id} and is not retried; its log: {task.log_url}")


def tell_of_lateness(context: Mapping[str, Any]) -> None:
    """Alert that a run has not ended by its deadline."""
    run, deadline = context["dag_run"], context["deadline"]
    tell(f"{run['dag_id']}: run {run['dag_run_id']} is late: it should have ended by {deadline['deadline_time']}")


def tell(sentence: str) -> None:
    """Log an alert, and send it to the webhook if there is one. The webhook's URL is a secret and is never logged."""
    log.error(sentence)
    try:
        BaseHook.get_connection(WEBHOOK_CONNECTION)
    except AirflowNotFoundException:
        return
    except PermissionError:
        log.warning(
            "connection '%s' can only be read from the variable AIRFLOW_CONN_%s here",
            WEBHOOK_CONNECTION,
            WEBHOOK_CONNECTION.upper(),
        )
        return
    try:
        HttpNotifier(http_conn_id=WEBHOOK_CONNECTION, json={"text": sentence}).notify(cast("Context", {}))
    # The type only: the message of an HTTP error holds the webhook's URL.
    except Exception as error:
        log.error("connection '%s' did not accept the alert: %s", WEBHOOK_CONNECTION, type(error).__name__)
