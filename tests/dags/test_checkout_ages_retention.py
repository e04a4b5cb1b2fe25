from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from job_tasks import export_object_store_credentials

from jobs.settings import Settings

DAG_FILE = "checkout_ages_retention.py"


def test_the_dag_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow", "job_tasks"}


def test_it_runs_each_day_once_and_never_twice_at_a_time(scheduled: Any) -> None:
    assert (scheduled.timetable.summary, scheduled.max_active_runs, scheduled.catchup) == ("0 5 * * *", 1, False)
    assert str(scheduled.timezone) == Settings.model_fields["store_time_zone"].default


def test_its_one_task_is_the_command(dag: Any) -> None:
    (task,) = dag.tasks
    assert task.bash_command.endswith("-m jobs.cli retain {{ as_of_option(params) }}")
    assert task._pre_execute_hook is export_object_store_credentials


def test_a_run_counts_back_from_today_or_from_the_date_it_was_asked_for(dag_file: ModuleType) -> None:
    assert dag_file.as_of_option({"as_of": None}) == ""
    assert dag_file.as_of_option({"as_of": "2026-11-20"}) == "--as-of 2026-11-20"


def test_what_is_no_date_never_reaches_a_shell(dag_file: ModuleType) -> None:
    with pytest.raises(ValueError, match="Invalid isoformat string"):
        dag_file.as_of_option({"as_of": "2026-11-20; rm -r /"})


def test_its_runbook_tells_for_how_many_days_photos_are_kept(dag_file: ModuleType) -> None:
    days = Settings.model_fields["photo_retention_days"].default
    assert f"more than {days} days ago\n(`CHECKOUT_AGES_PHOTO_RETENTION_DAYS`)" in str(dag_file.__doc__)
