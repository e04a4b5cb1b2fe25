from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors

from jobs.settings import Settings
from jobs.steps.backfill_options import BackfillOptions, Published
from jobs.steps.order import BACKFILL_DAYS, BACKFILL_STEPS

DAG_FILE = "checkout_ages_backfill.py"


def test_the_dag_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow", "job_tasks"}


def test_every_step_of_a_backfill_is_a_task_of_its_name(dag: Any) -> None:
    assert set(dag.task_ids) == set(BACKFILL_STEPS)


def test_a_plan_is_finished_and_concluded_even_if_an_application_broke(dag: Any) -> None:
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "plan_backfill": {"backfill_days", "finish_backfill", "conclude_backfill"},
        "backfill_days": {"finish_backfill"},
        "finish_backfill": {"conclude_backfill"},
        "conclude_backfill": set(),
    }
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert rules["finish_backfill"] == rules["conclude_backfill"] == "all_done_min_one_success"


def test_each_chunk_of_days_is_one_mapped_spark_application(dag: Any) -> None:
    chunk = dag.get_task(BACKFILL_DAYS)
    assert chunk.is_mapped
    assert issubclass(chunk.operator_class, SparkSubmitOperator)
    assert Path(chunk.partial_kwargs["application"]).is_file()
    assert chunk.partial_kwargs["max_active_tis_per_dagrun"] == Settings.model_fields["backfill_applications"].default


def test_applications_at_a_time_are_a_setting(
    load_dag_file: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKOUT_AGES_BACKFILL_APPLICATIONS", "3")
    assert load_dag_file().backfill_days.partial_kwargs["max_active_tis_per_dagrun"] == 3


def test_its_parameters_are_those_of_the_command(dag: Any) -> None:
    assert dag.params["days_per_application"] == BackfillOptions().days_per_application
    assert dag.params["published"] == BackfillOptions().published
    assert dag.params.get_param("published").schema["enum"] == list(get_args(Published))


def test_a_run_without_days_says_how_to_give_them(dag_file: ModuleType) -> None:
    assert dag_file.day({"from_date": "2026-03-01"}, "from_date") == "2026-03-01"
    with pytest.raises(AirflowFailException, match="to_date is missing: trigger the run with --conf"):
        dag_file.day({"to_date": None}, "to_date")


def test_each_day_tells_the_tables_that_it_changed(dag_file: ModuleType) -> None:
    assert dag_file.finish_backfill.outlets == [dag_file.PUBLISHED_TABLES]
    accessors = OutletEventAccessors()
    of_the_run = {"run_id": "backfill-1", "report": "file:///w/reports/x/index.html"}
    told = [
        {"business_date": day, "row_counts": {"age_mixes": 3, "photo_coverage": 2}, "changed_tables": changed}
        | of_the_run
        for day, changed in (("2026-11-19", ["age_mixes"]), ("2026-11-20", ["age_mixes", "photo_coverage"]))
    ]
    context = SimpleNamespace(outlet_events=accessors)
    dag_file.tell_the_days({"outlet_events": context.outlet_events}, json.dumps(told))
    events = accessors[dag_file.PUBLISHED_TABLES].asset_alias_events
    assert [(event.dest_asset_key.name, event.extra["business_date"]) for event in events] == [
        ("checkout_ages_age_mixes", "2026-11-19"),
        ("checkout_ages_age_mixes", "2026-11-20"),
        ("checkout_ages_photo_coverage", "2026-11-20"),
    ]
