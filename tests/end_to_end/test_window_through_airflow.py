"""The second DAG through Airflow."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from jobs import tables
from jobs.settings import Settings
from tests.airflow_runs import asset_events, new_airflow, run_dag
from tests.jobs.test_cashier_alcohol_audit import sales
from tests.jobs.test_window import publish_day
from tests.rows import BUSINESS_DATE

pytestmark = pytest.mark.slow


def test_a_run_by_hand_publishes_the_window_of_its_day_and_leaves_no_staging(
    settings: Settings, tmp_path: Path
) -> None:
    publish_day(settings, BUSINESS_DATE, "night-1", sales("c1", 100, 50), sales("c2", 100, 90))
    airflow = new_airflow(tmp_path / "airflow", settings.landing_uri, settings.warehouse_uri)
    window = run_dag(airflow, "cashier_alcohol_window", business_date=str(BUSINESS_DATE))
    assert window.returncode == 0, window.stdout[-5000:]
    warehouse = tmp_path / "warehouse"
    published = {path.parent.relative_to(warehouse).as_posix() for path in warehouse.rglob("*.parquet")}
    built = (tables.CASHIER_ALCOHOL_DAYS, *tables.WINDOW_TABLES, tables.WINDOW_RUNS)
    assert published == {f"{table.name}/business_date={BUSINESS_DATE}" for table in built}
    audit = duckdb.sql(
        f"SELECT cashier_id, review_priority, run_ids, run_id FROM '{warehouse}/cashier_alcohol_audit/*/*.parquet'"
    )
    (first, second) = audit.order("cashier_id").fetchall()
    assert first[:3] == ("c1", 1, ["night-1"])
    assert second[:3] == ("c2", None, ["night-1"])
    assert first[3].startswith("window-manual__")
    events = asset_events(airflow)
    assert set(events) == {f"checkout_ages_{table.name}" for table in tables.WINDOW_TABLES}
    of_audit = events["checkout_ages_cashier_alcohol_audit"]
    assert (of_audit["row_count"], of_audit["run_id"]) == (2, first[3])
