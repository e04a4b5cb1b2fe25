"""What all tests share: one Spark session, one S3 server, throw-away warehouses."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from pyspark.sql import SparkSession

from jobs.local_spark import local_spark_environment
from jobs.settings import Settings, read_settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.servers.s3_server import S3_ENVIRONMENT, running_s3_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

UNCOMPILED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""To compile a hundred plans takes longer than to run them on a few rows; the applications that tests submit do."""


hypothesis.settings.register_profile("checkout-ages", deadline=None)
hypothesis.settings.load_profile("checkout-ages")
"""On a machine at its limit one example may take a second; a test fails by what it asserts, not by the clock."""

FIXTURES_WITH_SERVERS = {"spark", "s3_bucket", "browser", "dag", "dag_bag", "dag_file", "load_dag_file"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start Spark, Airflow or a server, so that `make quick` leaves them out."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        on_s3 = getattr(item, "callspec", None) is not None and item.callspec.params.get("store") == "s3"
        if fixtures & FIXTURES_WITH_SERVERS or on_s3:
            item.add_marker("servers")


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    """Set before Spark starts, whose Python workers inherit what its JVM was started with."""
    for name in [name for name in os.environ if name.startswith("CHECKOUT_AGES_")]:
        del os.environ[name]  # such as README has a stranger export
    os.environ |= S3_ENVIRONMENT | {"TZ": "UTC"}
    time.tzset()


@pytest.fixture(autouse=True)
def log() -> None:
    """Take off what a command, in a test before or in a fixture, put on the log to show it on the terminal."""
    jobs_log = logging.getLogger("jobs")
    jobs_log.handlers = []
    jobs_log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    from jobs.spark import spark_session

    os.environ |= local_spark_environment(os.environ)
    session = spark_session("tests")
    for name, value in UNCOMPILED.items():
        session.conf.set(name, value)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def s3_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a bucket on a real S3 server that checks credentials; the environment has them."""
    with running_s3_server(tmp_path_factory.mktemp("s3")):
        yield "s3://checkout-ages-test"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium; without one a test is skipped, but fails in CI."""
    from tests.servers.chromium import MISSING, chromium, chromium_path

    if chromium_path() is None and not os.environ.get("CI"):
        pytest.skip(MISSING)
    with chromium() as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(
        {}, landing_uri=(tmp_path / "landing").as_uri(), warehouse_uri=(tmp_path / "warehouse").as_uri()
    )


@pytest.fixture
def warehouse(settings: Settings, spark: SparkSession) -> Warehouse:
    return Warehouse(ObjectStore(settings.warehouse_uri), "test-run", spark, model_version=settings.model_version)


@pytest.fixture
def landing(settings: Settings) -> ObjectStore:
    return ObjectStore(settings.landing_uri)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """An empty object store: a folder, then a prefix on the S3 server."""
    if request.param == "local":
        yield ObjectStore(request.getfixturevalue("tmp_path").as_uri())
    else:
        prefix = ObjectStore(request.getfixturevalue("s3_bucket") + "/store")
        yield prefix
        prefix.delete([entry.key for entry in prefix.list()])
