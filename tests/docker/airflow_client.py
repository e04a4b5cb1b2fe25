"""airflow_client: use Airflow over its REST API, like a person with a password."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

POLL_SECONDS = 3.0
SCHEDULED_RUN_SECONDS = 30.0
START_SECONDS = 300.0
NIGHT_SECONDS = 3600.0


class NightFailedError(Exception):
    """Airflow did not start, or a run of it failed; the message says which."""


@dataclass(frozen=True)
class Airflow:
    """An Airflow at a URL, with the user and password for requests."""

    url: str
    user: str
    password: str

    def wait_until_up(self) -> None:
        """Wait until it answers, knows all DAGs, and its parts are healthy."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                health = self._ask("GET", "/api/v2/monitor/health", token="")
                parts = {name: part["status"] for name, part in health.items() if name != "metadatabase"}
                if set(parts.values()) == {"healthy"} and self._ask("GET", "/api/v2/dags")["total_entries"] == 4:
                    return
            except (OSError, URLError):
                pass
            time.sleep(POLL_SECONDS)
        raise NightFailedError(f"Airflow was not up after {START_SECONDS:.0f} s")

    def refuses(self, user: str, password: str) -> bool:
        """Return whether a password is refused."""
        try:
            self._token(user, password)
        except HTTPError as error:
            return error.code == 401
        return False

    def run_dag(self, dag_id: str, business_date: str) -> str:
        """Run a DAG for a day and return the run's id at its end. Raises NightFailedError with its tasks' states."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        self._set_scheduled_runs_aside(dag_id)
        asked = {"logical_date": None, "conf": {"business_date": business_date}}
        run_id: str = self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", asked)["dag_run_id"]
        self._wait_for_run(dag_id, run_id)
        return run_id

    def backfill(self, dag_id: str, business_date: str) -> dict[str, str]:
        """Backfill a day; return each task's pool. Raises NightFailedError with its tasks' states."""
        day = {"from_date": f"{business_date}T00:00:00Z", "to_date": f"{business_date}T00:00:00Z"}
        self._ask("POST", "/api/v2/backfills", {"dag_id": dag_id, **day, "reprocess_behavior": "none"})
        (run,) = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns?run_type=backfill")["dag_runs"]
        self._wait_for_run(dag_id, run["dag_run_id"])
        tasks = self._tasks(_run_path(dag_id, run["dag_run_id"]))
        return {task["task_id"]: task["pool"] for task in tasks}

    def _wait_for_run(self, dag_id: str, run_id: str) -> None:
        deadline = time.monotonic() + NIGHT_SECONDS
        path = _run_path(dag_id, run_id)
        while (state := self._ask("GET", path)["state"]) not in ("success", "failed"):
            if time.monotonic() > deadline:
                raise NightFailedError(f"{dag_id} was {state} after {NIGHT_SECONDS:.0f} s: {self._states(path)}")
            time.sleep(POLL_SECONDS)
        if state == "failed":
            raise NightFailedError(f"{dag_id} failed: {self._states(path)}")

    def _set_scheduled_runs_aside(self, dag_id: str) -> None:
        """End the run of yesterday: a DAG begins with it when it is switched on, and nobody delivers for it."""
        deadline = time.monotonic() + SCHEDULED_RUN_SECONDS
        while time.monotonic() < deadline:
            for run in self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns?run_type=scheduled")["dag_runs"]:
                self._ask("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run['dag_run_id'])}", {"state": "failed"})
                return
            time.sleep(POLL_SECONDS)

    def _tasks(self, run_path: str) -> list[dict[str, Any]]:
        return list(self._ask("GET", f"{run_path}/taskInstances")["task_instances"])

    def _states(self, run_path: str) -> dict[str, str]:
        return {task["task_id"]: task["state"] for task in self._tasks(run_path)}

    def _token(self, user: str, password: str) -> str:
        answer = self._ask("POST", "/auth/token", {"username": user, "password": password}, token="")
        return str(answer["access_token"])

    def _ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        token = self._token(self.user, self.password) if token is None else token
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=30) as answer:
            return json.load(answer)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}"
