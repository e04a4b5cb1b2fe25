from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import alerts
import pytest
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

DAG_FILE = "alerts.py"
FAILED = SimpleNamespace(dag_id="nightly", task_id="check_night", run_id="manual__1", log_url="http://airflow/log")


@pytest.fixture
def webhook() -> Iterator[HTTPServer]:
    """A server that keeps what is posted to it in `taken`, and answers with its `status`."""

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server: Any = self.server
            server.taken.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the terminal quiet."""

    with HTTPServer(("127.0.0.1", 0), Take) as server:
        server.taken, server.status = [], 200  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def connected(webhook: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    host = f"http://127.0.0.1:{webhook.server_port}/services/secret-path"
    connection = json.dumps({"conn_type": "http", "host": host})
    monkeypatch.setenv("AIRFLOW_CONN_CHECKOUT_AGES_ALERTS", connection)
    return webhook


def test_the_file_imports_only_airflow_and_the_standard_library(packages: set[str]) -> None:
    assert packages == {"airflow"}


def test_a_failed_task_is_one_line_of_its_log(caplog: pytest.LogCaptureFixture) -> None:
    alerts.tell_of_failure({"task_instance": FAILED})  # type: ignore[typeddict-item]
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "nightly: check_night failed in run manual__1 and is not retried; its log: http://airflow/log"
    ]


def test_a_late_run_is_named_with_its_deadline(caplog: pytest.LogCaptureFixture) -> None:
    run = {"dag_id": "nightly", "dag_run_id": "scheduled__1"}
    alerts.tell_of_lateness({"dag_run": run, "deadline": {"deadline_time": "2026-11-21 06:00:00+00:00"}})
    assert "nightly: run scheduled__1 is late: it should have ended by 2026-11-21 06:00:00+00:00" in caplog.text


def test_a_webhook_gets_the_line_as_text(connected: Any) -> None:
    alerts.tell("the night is late")
    assert connected.taken == [("/services/secret-path", {"text": "the night is late"})]


def test_a_webhook_that_fails_is_told_without_its_url(connected: Any, caplog: pytest.LogCaptureFixture) -> None:
    connected.status = 500
    alerts.tell("the night is late")
    assert "connection 'checkout_ages_alerts' did not accept the alert" in caplog.text
    assert "secret-path" not in caplog.text


def test_a_connection_that_airflow_refuses_to_read_fails_nothing_and_says_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: str) -> None:
        raise AirflowSecretsBackendAccessDenied("as by the Execution API, to what runs at a missed deadline")

    monkeypatch.setattr(alerts.BaseHook, "get_connection", refuse)
    alerts.tell("the night is late")
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the night is late",
        "connection 'checkout_ages_alerts' can only be read from the variable AIRFLOW_CONN_CHECKOUT_AGES_ALERTS here",
    ]
