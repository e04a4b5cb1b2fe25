from __future__ import annotations

import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors
from job_tasks import PUBLISHED_DAY, export_object_store_credentials

from jobs.settings import Settings
from jobs.steps.order import RESTATE_REPORTS, WINDOW_STEPS

DAG_FILE = "cashier_alcohol_window.py"
NO_DATE = {"business_date": None}


def events(*business_dates: str) -> dict[Any, list[SimpleNamespace]]:
    return {PUBLISHED_DAY: [SimpleNamespace(extra={"business_date": day}) for day in business_dates]}


def test_the_dag_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow", "job_tasks"}


def test_every_step_of_a_window_is_a_task_of_its_name(dag: Any) -> None:
    assert set(dag.task_ids) == {*WINDOW_STEPS, RESTATE_REPORTS}


def test_the_arrows_go_from_plan_to_tables_to_check_to_publish(dag: Any) -> None:
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "plan_windows": {"cashier_alcohol_audit", "reviewed_cases"},
        "reviewed_cases": {"review_precision"},
        "review_precision": {"check_window"},
        "cashier_alcohol_audit": {"check_window"},
        "check_window": {"publish_window"},
        "publish_window": {"restate_reports"},
        "restate_reports": set(),
    }


def test_a_published_day_triggers_one_run_at_a_time(scheduled: Any) -> None:
    assert scheduled.max_active_runs == 1
    assert [asset.name for _, asset in scheduled.timetable.asset_condition.iter_assets()] == [PUBLISHED_DAY.name]


def test_a_run_is_for_all_days_that_were_published_since_the_last(dag_file: ModuleType) -> None:
    published = events("2026-11-20", "2026-11-18", "2026-11-20")
    assert dag_file.business_dates(NO_DATE, published) == "2026-11-18 2026-11-20"


def test_a_run_by_hand_is_for_the_date_it_was_asked_for(dag_file: ModuleType) -> None:
    assert dag_file.business_dates({"business_date": "2026-03-01"}, events("2026-11-20")) == "2026-03-01"


def test_a_published_window_tells_each_of_its_tables_to_who_waits_for_one(dag_file: ModuleType) -> None:
    assert dag_file.publish_window.outlets == [dag_file.PUBLISHED_TABLES]
    accessors = OutletEventAccessors()
    of_the_run = {"business_date": "2026-11-20", "run_id": "window-1", "report": "file:///w/reports/x/index.html"}
    windows = [of_the_run | {"row_counts": {"cashier_alcohol_audit": 3, "review_precision": 4}}]
    dag_file.publish_window._post_execute_hook({"outlet_events": accessors}, json.dumps(windows))
    told = {event.dest_asset_key.name: event.extra for event in accessors[dag_file.PUBLISHED_TABLES].asset_alias_events}
    assert told == {
        "checkout_ages_cashier_alcohol_audit": of_the_run | {"row_count": 3},
        "checkout_ages_review_precision": of_the_run | {"row_count": 4},
    }


@pytest.mark.parametrize("nothing", [{}, {PUBLISHED_DAY: [SimpleNamespace(extra={})]}], ids=["no event", "no day"])
def test_a_run_for_no_day_fails_and_says_how_to_name_one(dag_file: ModuleType, nothing: dict[Any, Any]) -> None:
    with pytest.raises(AirflowFailException, match=r'trigger it with --conf .{"business_date": "2026-11-20"}'):
        dag_file.business_dates(NO_DATE, nothing)


def test_what_is_no_date_never_reaches_a_shell(dag_file: ModuleType) -> None:
    with pytest.raises(ValueError, match="Invalid isoformat string"):
        dag_file.business_dates(NO_DATE, events("2026-11-20; rm -r /"))


def test_its_runbook_tells_the_length_of_a_window(dag_file: ModuleType) -> None:
    days = Settings.model_fields["window_days"].default
    assert f"A window is {days} days long (`CHECKOUT_AGES_WINDOW_DAYS`)" in str(dag_file.__doc__)


def test_every_task_has_the_credentials_of_the_connection(dag: Any) -> None:
    assert all(task._pre_execute_hook is export_object_store_credentials for task in dag.tasks)
