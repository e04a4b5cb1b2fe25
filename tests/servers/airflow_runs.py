"""airflow_runs: run a DAG with `airflow dags test`: real operators and templates, no scheduler."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from jobs.operations.demo import airflow_environment

COMPLAINTS_SHOWN = 20


def new_airflow(home: Path, landing_uri: str, warehouse_uri: str) -> dict[str, str]:
    """Set up an own Airflow without the shell's credentials; return the environment for its commands."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = airflow_environment(shell, home, landing_uri, warehouse_uri)
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return environment


def asset_events(environment: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return the extra of the last event of each asset, by the asset's name."""
    with closing(sqlite3.connect(Path(environment["AIRFLOW_HOME"]) / "airflow.db")) as connection:
        events = connection.execute(
            "SELECT name, asset_event.extra FROM asset_event JOIN asset ON asset.id = asset_id ORDER BY asset_event.id"
        )
        return {name: json.loads(extra) for name, extra in events}


def run_dag(environment: Mapping[str, str], dag_id: str, **conf: object) -> subprocess.CompletedProcess[str]:
    """Run a DAG to its end. The result's `stdout` has all of its output."""
    return subprocess.run(
        ["airflow", "dags", "test", dag_id, "--conf", json.dumps(conf)],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=800,
    )


def complaints(run: subprocess.CompletedProcess[str]) -> str:
    """Return all lines of a failed run that name an error, and its last lines."""
    named = [line for line in run.stdout.splitlines() if "error" in line.lower()]
    return "\n".join([*named[:COMPLAINTS_SHOWN], "…", run.stdout[-5000:]])
