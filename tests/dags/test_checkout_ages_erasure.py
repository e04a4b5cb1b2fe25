from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from job_tasks import export_object_store_credentials
from typer.main import get_command

from jobs.cli import app

DAG_FILE = "checkout_ages_erasure.py"
HOSTILE = "4711' --photo-key=x; $(rm -r /) `id` \"\n"


def rendered_variables(dag: Any, **asked: Any) -> dict[str, str]:
    """The environment of the task's application in a run that was asked so."""
    (task,) = dag.tasks
    params = {name: dag.params[name] for name in dag.params} | asked
    variables: dict[str, str] = task.render_template(task.env_vars, {"params": params}, dag.get_template_env())
    return variables


def test_the_dag_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow", "job_tasks"}


def test_it_runs_only_when_it_is_asked_to_and_once_at_a_time(scheduled: Any) -> None:
    assert (scheduled.timetable.can_be_scheduled, scheduled.max_active_runs) == (False, 1)


def test_its_one_task_is_the_command_in_spark(dag: Any) -> None:
    (task,) = dag.tasks
    assert Path(task.application).is_file()
    assert task.application_args == ["erase"]
    assert task._pre_execute_hook is export_object_store_credentials


def test_each_parameter_is_an_option_of_the_command(dag: Any) -> None:
    options = {option.name for option in get_command(app).commands["erase"].params}
    assert set(dag.params) <= options
    assert set(rendered_variables(dag)) == {f"ERASE_{name.upper()}" for name in dag.params}


def test_what_is_not_asked_for_is_empty_so_that_the_command_does_not_see_it(dag: Any) -> None:
    variables = rendered_variables(dag, transaction_id="4711", with_transaction=True)
    assert variables.pop("ERASE_TRANSACTION_ID") == "4711"
    assert variables.pop("ERASE_WITH_TRANSACTION") == "True"
    assert set(variables.values()) == {""}


@pytest.mark.parametrize("name", ["transaction_id", "photo_key", "store_id", "till_id", "reason"])
def test_a_hostile_id_is_one_value_and_in_no_command_line(dag: Any, name: str) -> None:
    (task,) = dag.tasks
    assert rendered_variables(dag, **{name: HOSTILE})[f"ERASE_{name.upper()}"] == HOSTILE
    assert "params" not in str([task.application, task.application_args])
