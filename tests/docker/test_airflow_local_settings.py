"""The pool of backfills, assigned when Airflow itself creates the tasks of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

DOCKER = Path(__file__).parents[2] / "docker"
ASK_AIRFLOW = """
import json, sys
from types import SimpleNamespace
from airflow import settings
asked = json.loads(sys.argv[1])
tasks = [SimpleNamespace(dag_id=dag_id, run_id=run_id, pool="default_pool") for dag_id, run_id in asked]
for task in tasks:
    settings.task_instance_mutation_hook(task, dag_run=None)
print(json.dumps([task.pool for task in tasks]))
"""


def test_only_a_backfills_tasks_go_into_its_pool(tmp_path: Path) -> None:
    nights = [
        ("checkout_ages_nightly", f"{kind}__2026-11-18T00:00:00+00:00") for kind in ("scheduled", "manual", "backfill")
    ]
    runs = [*nights, ("checkout_ages_nightly", None), ("checkout_ages_backfill", "manual__2026-11-18")]
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(DOCKER)}
    asked = [sys.executable, "-c", ASK_AIRFLOW, json.dumps(runs)]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own, default = "checkout_ages_backfill", "default_pool"
    assert json.loads(done.stdout.splitlines()[-1]) == [default, default, own, default, own]
