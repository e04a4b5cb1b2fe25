"""Airflow's hook for new tasks: puts the tasks of a backfill into a pool of their own.

A backfill then takes only the slots of that pool, and leaves the others to tonight's run. Airflow finds this file in
$AIRFLOW_HOME/config. Without the pool, backfills wait; create it: `airflow pools set checkout_ages_backfill 2 "days
past"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

BACKFILL_POOL = "checkout_ages_backfill"
BACKFILL_DAG = "checkout_ages_backfill"


def task_instance_mutation_hook(task_instance: TaskInstance) -> None:
    """Put a backfill's task into BACKFILL_POOL; the id of a run of Airflow's own backfills begins with backfill__."""
    if task_instance.dag_id == BACKFILL_DAG or (task_instance.run_id or "").startswith("backfill__"):
        task_instance.pool = BACKFILL_POOL
