"""`checkout-ages backfill` as an operator runs it, with Spark applications of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from tests.given.landed_days import land_small_day

pytestmark = pytest.mark.slow


def backfill(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command for two days."""
    days = ["--from", "2026-11-01", "--to", "2026-11-02"]
    places = {
        "CHECKOUT_AGES_LANDING_URI": settings.landing_uri,
        "CHECKOUT_AGES_WAREHOUSE_URI": settings.warehouse_uri,
    }
    command = [sys.executable, "-m", "jobs.cli", "backfill", *days, *options]
    return subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=600)


def runs_by_day(settings: Settings) -> list[tuple[int, str]]:
    """Which run has published which day, from the commit marks: a day published twice is there twice."""
    folder = settings.warehouse_uri.removeprefix("file://")
    marks = f"read_parquet('{folder}/pipeline_runs/*/*.parquet', hive_partitioning = true)"
    return duckdb.sql(f"SELECT day(business_date::DATE), run_id FROM {marks} ORDER BY ALL").fetchall()


def test_a_day_that_lands_late_is_built_under_the_same_run_id(settings: Settings) -> None:
    landing = ObjectStore(settings.landing_uri)
    land_small_day(landing, date(2026, 11, 1))
    first = backfill(settings, "--run-id", "b1")
    assert first.returncode == 75, first.stdout + first.stderr
    assert "1 of 2 days have not landed: 2026-11-02: missing " in first.stderr
    assert runs_by_day(settings) == [(1, "b1")]

    land_small_day(landing, date(2026, 11, 2))
    second = backfill(settings, "--run-id", "b1")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "published: 2 days" in second.stdout
    assert runs_by_day(settings) == [(1, "b1"), (2, "b1")]
    pages = Path(settings.warehouse_uri.removeprefix("file://")).glob("reports/*/index.html")
    assert len(list(pages)) == 2

    refused = backfill(settings, "--run-id", "b2", "--published", "fail")
    assert refused.returncode == 2
    assert "2 of the days are published: 2026-11-01: published by run 'b1'" in refused.stderr


def test_a_run_id_that_can_be_no_folder_is_refused(settings: Settings) -> None:
    refused = backfill(settings, "--run-id", "../b1")
    assert refused.returncode == 2
    assert "run id '../b1' may contain letters, digits" in refused.stderr
