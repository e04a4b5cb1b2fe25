from __future__ import annotations

import os
from pathlib import Path

import job_tasks
import pytest
from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import RetryAction

DAG_FILE = "job_tasks.py"


def test_the_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow", "alerts"}


def test_a_run_id_is_the_same_safe_folder_name_for_every_try() -> None:
    assert job_tasks.path_safe("manual__2026-11-20T03:00:00+00:00") == "manual__2026-11-20T03-00-00-00-00"


def test_credentials_of_the_connection_reach_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"]
    for name in names:
        monkeypatch.setenv(name, "of the environment")
    monkeypatch.setenv(
        "AIRFLOW_CONN_CHECKOUT_AGES_OBJECT_STORE",
        '{"conn_type": "aws", "login": "key", "password": "secret",'
        ' "extra": {"endpoint_url": "http://127.0.0.1:1", "region_name": "r"}}',
    )
    job_tasks.export_object_store_credentials({})
    found = [os.environ[name] for name in names]
    assert found == ["key", "secret", "of the environment", "r", "http://127.0.0.1:1"]


def test_without_a_connection_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_CHECKOUT_AGES_OBJECT_STORE", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the environment")
    job_tasks.export_object_store_credentials({})
    assert os.environ["AWS_ACCESS_KEY_ID"] == "of the environment"


@pytest.mark.parametrize(("exit_code", "action"), [(1, RetryAction.DEFAULT), (2, RetryAction.FAIL)])
def test_bad_input_is_not_retried(
    exit_code: int, action: RetryAction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark_submit = tmp_path / "spark-submit"
    spark_submit.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    spark_submit.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type": "spark", "host": "local[*]"}')
    operators = [
        BashOperator(task_id="bash", bash_command=f"exit {exit_code}"),
        SparkSubmitOperator(task_id="spark", application="run.py"),
    ]
    for operator in operators:
        with pytest.raises(AirflowException) as failure:
            operator.execute({})
        assert job_tasks.NoRetryOfBadInput().evaluate(failure.value, 1, 2).action is action
