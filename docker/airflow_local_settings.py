"""What Airflow asks before it makes a task of a run: a backfill's tasks go into a pool of their own.

So days past take no more than that pool's slots, and leave the rest to tonight. Airflow finds this file in
$AIRFLOW_HOME/config. Without the pool backfills wait: `airflow pools set checkout_ages_backfill 2 "days past"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

BACKFILL_POOL = "checkout_ages_backfill"


def task_instance_mutation_hook(task_instance: TaskInstance) -> None:
    """Put a backfill's task into BACKFILL_POOL; the id of such a run tells what it is."""
    if (task_instance.run_id or "").startswith("backfill__"):
        task_instance.pool = BACKFILL_POOL
