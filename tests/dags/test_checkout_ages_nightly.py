from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.serialization.serialized_objects import DagSerialization
from job_tasks import export_object_store_credentials

from jobs.errors import UNCHANGED
from jobs.settings import Settings
from jobs.steps.order import ANNOUNCE, BUILT_WITHOUT_SPARK, REPORT, SPARK_STEPS, STEPS

DAG_FILE = "checkout_ages_nightly.py"
NO_DATE = {"business_date": None}


def run_of(data_interval_start: datetime | None) -> SimpleNamespace:
    return SimpleNamespace(run_id="manual__1", data_interval_start=data_interval_start)


def test_the_dag_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow", "alerts", "job_tasks"}


def test_every_step_of_a_night_is_a_task_of_its_name(dag: Any) -> None:
    assert set(dag.task_ids) == {*STEPS, REPORT, ANNOUNCE}


def test_a_table_that_grows_with_photos_or_lines_is_one_spark_application_and_a_small_one_is_none(dag: Any) -> None:
    applications = {task.task_id: task for task in dag.tasks if isinstance(task, SparkSubmitOperator)}
    assert set(applications) == set(SPARK_STEPS)
    assert {task.task_id for task in dag.tasks if isinstance(task, BashOperator)} >= BUILT_WITHOUT_SPARK
    for name, task in applications.items():
        assert task.application_args[0] == name
        assert Path(task.application).is_file()


def test_the_arrows_are_those_of_the_architecture(dag: Any) -> None:
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "wait_for_business_date": {"checkout_photos", "transaction_lines"},
        "checkout_photos": {"photo_age_estimates"},
        "photo_age_estimates": {"transaction_ages"},
        "transaction_lines": {"transaction_ages"},
        "transaction_ages": {"age_mixes", "photo_coverage"},
        "age_mixes": {"age_group_purchases", "age_group_affinity", "alcohol_sale_audit"},
        "age_group_purchases": {"check_night"},
        "alcohol_sale_audit": {"alcohol_review_cases", "cashier_alcohol_days"},
        "cashier_alcohol_days": {"check_night"},
        "alcohol_review_cases": {"check_night"},
        "age_group_affinity": {"check_night"},
        "photo_coverage": {"check_night"},
        "check_night": {"publish_night"},
        "publish_night": {"announce_published_day", "nightly_report"},
        "announce_published_day": set(),
        "nightly_report": set(),
    }


def test_its_defaults_are_those_of_the_settings(
    load_dag_file: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("CHECKOUT_AGES_")]:
        monkeypatch.delenv(name)
    defaults = load_dag_file()
    assert str(defaults.STORE_TIME_ZONE) == Settings.model_fields["store_time_zone"].default
    assert defaults.LANDING_TIMEOUT.total_seconds() == Settings.model_fields["landing_timeout_seconds"].default


def test_a_night_starts_at_three_in_moscow_for_the_day_that_has_ended(scheduled: Any, dag_file: ModuleType) -> None:
    interval = scheduled.timetable.infer_manual_data_interval(run_after=datetime(2026, 11, 21, 0, 0, tzinfo=UTC))
    assert interval.end == datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
    assert dag_file.business_date(NO_DATE, run_of(interval.start)) == "2026-11-20"


@pytest.mark.parametrize(
    ("data_interval_start", "business_date"),
    [
        (datetime(2026, 11, 19, 20, 59, tzinfo=UTC), "2026-11-19"),
        (datetime(2026, 11, 19, 21, 0, tzinfo=UTC), "2026-11-20"),
        (datetime(2026, 11, 20, 0, 0, tzinfo=UTC), "2026-11-20"),
        (datetime(2026, 11, 20, 20, 59, tzinfo=UTC), "2026-11-20"),
    ],
)
def test_the_business_date_turns_at_midnight_in_moscow(
    dag_file: ModuleType, data_interval_start: datetime, business_date: str
) -> None:
    assert dag_file.business_date(NO_DATE, run_of(data_interval_start)) == business_date


def test_a_run_by_hand_is_for_the_date_it_was_asked_for(dag_file: ModuleType) -> None:
    asked = {"business_date": "2026-03-01"}
    assert dag_file.business_date(asked, run_of(datetime(2026, 11, 20, tzinfo=UTC))) == "2026-03-01"


def test_a_run_for_no_day_fails_and_says_how_to_name_one(dag_file: ModuleType) -> None:
    with pytest.raises(AirflowFailException, match=r'trigger it with --conf .{"business_date": "2026-11-20"}'):
        dag_file.business_date(NO_DATE, run_of(None))


def test_a_backfill_runs_each_date_once(scheduled: Any, dag_file: ModuleType) -> None:
    runs = scheduled.iter_dagrun_infos_between(datetime(2026, 10, 30, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    dates = [dag_file.business_date(NO_DATE, run_of(run.data_interval.start)) for run in runs]
    assert dates == ["2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02"]


def test_a_time_zone_with_summer_time_gives_each_date_once(
    load_dag_file: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKOUT_AGES_STORE_TIME_ZONE", "Europe/Berlin")
    berlin = load_dag_file()
    scheduled: Any = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(berlin.wait_for_business_date.dag))
    midnight = datetime(2026, 3, 27, tzinfo=berlin.STORE_TIME_ZONE)
    runs = scheduled.iter_dagrun_infos_between(midnight, midnight + timedelta(days=4))
    dates = [berlin.business_date(NO_DATE, run_of(run.data_interval.start)) for run in runs]
    assert dates == [(date(2026, 3, 27) + timedelta(days=day)).isoformat() for day in range(4)]


def test_the_landing_timeout_is_a_setting(
    load_dag_file: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKOUT_AGES_LANDING_TIMEOUT_SECONDS", "8")
    sensor = load_dag_file().wait_for_business_date
    assert (sensor.timeout, sensor.poke_interval) == (8, 2)


def test_a_published_night_tells_its_day_and_each_changed_table_to_who_waits_for_one(dag_file: ModuleType) -> None:
    assert dag_file.announce_published_day.outlets == [dag_file.PUBLISHED_DAY, dag_file.PUBLISHED_TABLES]
    assert dag_file.announce_published_day._post_execute_hook is dag_file.tell_the_day
    events = OutletEventAccessors()
    of_the_run = {"business_date": "2026-11-20", "run_id": "run-1", "report": "file:///w/reports/x/index.html"}
    told = of_the_run | {"row_counts": {"age_mixes": 3, "photo_coverage": 4}, "changed_tables": ["age_mixes"]}
    dag_file.tell_the_day({"outlet_events": events}, json.dumps(told))
    assert events[dag_file.PUBLISHED_DAY].extra == told
    (of_the_table,) = events[dag_file.PUBLISHED_TABLES].asset_alias_events
    assert of_the_table.dest_asset_key.name == "checkout_ages_age_mixes"
    assert of_the_table.extra == of_the_run | {"row_count": 3}


def test_a_day_that_came_out_as_it_was_is_no_event(dag_file: ModuleType) -> None:
    assert dag_file.announce_published_day.skip_on_exit_code == [UNCHANGED]


def test_every_task_has_the_credentials_of_the_connection(dag: Any) -> None:
    assert all(task._pre_execute_hook is export_object_store_credentials for task in dag.tasks)


def test_a_night_without_a_deadline_is_asked_for_by_zero(
    load_dag_file: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKOUT_AGES_NIGHT_DEADLINE_SECONDS", "0")
    assert not load_dag_file().wait_for_business_date.dag.deadline
