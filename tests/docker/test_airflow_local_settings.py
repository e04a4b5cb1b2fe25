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
tasks = [SimpleNamespace(run_id=run_id, pool="default_pool") for run_id in json.loads(sys.argv[1])]
for task in tasks:
    settings.task_instance_mutation_hook(task, dag_run=None)
print(json.dumps([task.pool for task in tasks]))
"""


def test_only_a_backfills_tasks_go_into_its_pool(tmp_path: Path) -> None:
    days = [f"{kind}__2026-11-18T00:00:00+00:00" for kind in ("backfill", "scheduled", "manual")]
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(DOCKER)}
    asked = [sys.executable, "-c", ASK_AIRFLOW, json.dumps([*days, None])]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["checkout_ages_backfill", *["default_pool"] * 3]
