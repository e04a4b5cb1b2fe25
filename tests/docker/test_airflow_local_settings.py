"""The pool of backfills, as Airflow's scheduler makes the tasks of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(DOCKER))
    monkeypatch.delitem(sys.modules, "airflow_local_settings", raising=False)
    import airflow_local_settings

    return airflow_local_settings.task_instance_mutation_hook


@pytest.mark.parametrize(
    ("run_id", "pool"),
    [
        ("backfill__2026-11-18T00:00:00+00:00", "checkout_ages_backfill"),
        ("scheduled__2026-11-20T00:00:00+00:00", "default_pool"),
        ("manual__2026-11-20T00:00:00+00:00", "default_pool"),
        (None, "default_pool"),
    ],
)
def test_only_a_backfills_tasks_go_into_its_pool(put: object, run_id: str | None, pool: str) -> None:
    task = SimpleNamespace(run_id=run_id, pool="default_pool")
    put(task)  # type: ignore[operator]
    assert task.pool == pool
