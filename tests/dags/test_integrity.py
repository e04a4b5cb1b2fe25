"""Every DAG, as Airflow's own loader sees the folder."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DeadlineReference
from alerts import tell_of_failure
from job_tasks import NoRetryOfBadInput

from jobs.settings import Settings
from tests.dags.conftest import DAGS

JOBS = DAGS.parent / "jobs"


@pytest.fixture(scope="module")
def dag_bag() -> Any:
    logging.getLogger("airflow").setLevel(logging.WARNING)
    return DagBag(dag_folder=DAGS)


def test_all_files_load(dag_bag: Any) -> None:
    assert dag_bag.import_errors == {}
    assert set(dag_bag.dags) == {
        "checkout_ages_nightly",
        "cashier_alcohol_window",
        "checkout_ages_backfill",
        "checkout_ages_retention",
        "checkout_ages_erasure",
    }


def test_every_dag_says_what_it_is_and_how_to_run_it(dag_bag: Any) -> None:
    for dag in dag_bag.dags.values():
        assert dag.description
        assert "**Recover.**" in dag.doc_md
        assert dag.tags == {"checkout-ages"}


def test_no_dag_catches_up_or_runs_without_bound(dag_bag: Any) -> None:
    assert {dag_id: (dag.catchup, dag.max_active_runs) for dag_id, dag in dag_bag.dags.items()} == {
        "checkout_ages_nightly": (False, 2),
        "cashier_alcohol_window": (False, 1),
        "checkout_ages_backfill": (False, 1),
        "checkout_ages_retention": (False, 1),
        "checkout_ages_erasure": (False, 1),
    }


def test_every_task_is_tried_again_unless_the_input_is_bad_and_its_failure_is_told(dag_bag: Any) -> None:
    for task in (task for dag in dag_bag.dags.values() for task in dag.tasks):
        assert task.retries == (0 if task.task_id == "conclude_backfill" else 2)
        assert isinstance(task.retry_policy, NoRetryOfBadInput)
        assert list(task.on_failure_callback) == [tell_of_failure]


def test_a_night_has_a_deadline_whose_callback_airflow_can_find(dag_bag: Any) -> None:
    (alert,) = dag_bag.dags["checkout_ages_nightly"].deadline
    assert alert.reference == DeadlineReference.DAGRUN_QUEUED_AT
    assert alert.interval == timedelta(seconds=Settings.model_fields["night_deadline_seconds"].default)
    assert alert.callback.path == "alerts.tell_of_lateness"


def test_a_task_is_a_file_of_its_name_of_a_table_or_a_step_or_what_is_done_with_data_about_people(dag_bag: Any) -> None:
    packages = {"checkout_ages_retention": ("privacy",), "checkout_ages_erasure": ("privacy",)}
    for dag_id, dag in dag_bag.dags.items():
        for task_id in dag.task_ids:
            files = [JOBS / package / f"{task_id}.py" for package in packages.get(dag_id, ("tables", "steps"))]
            assert sum(file.is_file() for file in files) == 1
