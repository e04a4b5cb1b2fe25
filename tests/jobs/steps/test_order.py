"""Windows from published days to published windows, on local disk."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from jobs.errors import FailedCheckError, InputError, PublishingLockError
from jobs.landing.cashier_pseudonyms import CashierPseudonyms
from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.schemas.runs import WINDOW_RUNS
from jobs.settings import Settings
from jobs.steps.order import WINDOW_STEPS, run_window_step, run_windows
from jobs.steps.rules.window_rules import RULES
from jobs.tables import cashier_alcohol_days
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.run_records import RunRecords
from jobs.warehouse.staging import Staging
from jobs.warehouse.warehouse import Warehouse
from tests.given.alcohol_sales import sale
from tests.given.cashier_days import day_of, sales
from tests.given.rows import BUSINESS_DATE, arrow_rows

EVE = BUSINESS_DATE - timedelta(days=1)
AUDITED = """SELECT business_date::VARCHAR, run_id, cashier_id, sale_count, day_count, run_ids
FROM read_parquet('warehouse/cashier_alcohol_audit/*/*.parquet', hive_partitioning = true) ORDER BY ALL"""
CHECKS = "SELECT rule, severity, is_broken FROM 'warehouse/window_check_results/*/*.parquet' ORDER BY ALL"
RUNS = """SELECT business_date::VARCHAR, run_id, window_first_date::VARCHAR, warnings
FROM read_parquet('warehouse/window_runs/*/*.parquet', hive_partitioning = true) ORDER BY ALL"""


def no_report(step: str, seconds: float) -> None:
    pass


def warehouse_of(settings: Settings, run_id: str) -> Warehouse:
    return Warehouse(ObjectStore(settings.warehouse_uri), run_id)


def publish_day(settings: Settings, business_date: date, run_id: str, *rows: list[dict[str, Any]]) -> None:
    warehouse_of(settings, run_id).published.write(CASHIER_ALCOHOL_DAYS, business_date, day_of(*rows, run_id=run_id))


def run_window(settings: Settings, run_id: str, *business_dates: date) -> list[date]:
    return run_windows(warehouse_of(settings, run_id), business_dates, settings, no_report)


def published(settings: Settings, query: str) -> list[tuple[object, ...]]:
    root = settings.warehouse_uri.removeprefix("file://")
    return duckdb.sql(query.replace("warehouse/", f"{root}/")).fetchall()


def test_a_window_is_published_with_the_runs_of_its_days_and_leaves_no_staging(settings: Settings) -> None:
    publish_day(settings, BUSINESS_DATE, "night-2", sales("c1", 3, 1))
    publish_day(settings, BUSINESS_DATE - timedelta(days=27), "night-1", sales("c1", 4, 1), sales("c2", 1, 1))
    publish_day(settings, BUSINESS_DATE - timedelta(days=28), "too-old", sales("c1", 100, 1))
    assert run_window(settings, "window-1", BUSINESS_DATE) == [BUSINESS_DATE]
    assert published(settings, AUDITED) == [
        ("2026-11-20", "window-1", "c1", 7, 2, ["night-1", "night-2"]),
        ("2026-11-20", "window-1", "c2", 1, 2, ["night-1", "night-2"]),
    ]
    warning = "every day of the window is published: only 2 of 28 days are"
    assert published(settings, RUNS) == [("2026-11-20", "window-1", "2026-10-24", [warning])]
    assert list(ObjectStore(settings.warehouse_uri).list("_staging")) == []
    found = [(rule.name, rule.severity, rule.name in warning) for rule in RULES]
    assert published(settings, CHECKS) == sorted(found)


def test_a_window_with_pseudonyms_of_two_keys_is_published_with_a_warning(settings: Settings) -> None:
    old, new = (CashierPseudonyms(key * 32) for key in (b"k", b"l"))
    publish_day(settings, BUSINESS_DATE, "night-2", sales(new.of("c1"), 3, 1))
    publish_day(settings, EVE, "night-1", sales(old.of("c1"), 4, 1), sales("c2", 1, 1))
    run_window(settings, "window-1", EVE, BUSINESS_DATE)
    kinds = ", ".join(["no key", *sorted([old.generation, new.generation])])
    warning = "all cashier ids of the window are pseudonyms of one key, or none is: keys:"
    (of_eve, of_both_days) = (str(row[3]) for row in published(settings, RUNS))
    assert f"{warning} no key, {old.generation}; so a cashier counts as several" in of_eve
    assert f"{warning} {kinds}; so a cashier counts as several" in of_both_days


def test_a_day_published_late_brings_the_windows_that_hold_it_up_to_date(settings: Settings) -> None:
    publish_day(settings, BUSINESS_DATE, "night-1", sales("c1", 3, 1))
    run_window(settings, "window-1", BUSINESS_DATE)
    publish_day(settings, EVE, "night-2", sales("c1", 4, 1))
    assert run_window(settings, "window-2", EVE) == [EVE, BUSINESS_DATE]
    assert published(settings, AUDITED) == [
        ("2026-11-19", "window-2", "c1", 4, 1, ["night-2"]),
        ("2026-11-20", "window-2", "c1", 7, 2, ["night-2", "night-1"]),
    ]


def test_days_may_be_published_in_any_order(settings: Settings) -> None:
    days = [BUSINESS_DATE - timedelta(days=number) for number in (0, 2, 1)]
    for number, day in enumerate(days):
        publish_day(settings, day, f"night-{day}", sales("c1", 1 + number, 1))
        run_window(settings, "window-1", day)
    one_by_one = published(settings, AUDITED)
    run_window(settings, "window-1", *days)
    assert published(settings, AUDITED) == one_by_one
    assert [row[3] for row in one_by_one] == [2, 5, 6]


def test_a_window_run_twice_is_a_window_run_once(settings: Settings) -> None:
    publish_day(settings, BUSINESS_DATE, "night-1", sales("c1", 3, 1))
    run_window(settings, "window-1", BUSINESS_DATE)
    once = published(settings, AUDITED)
    run_window(settings, "window-1", BUSINESS_DATE)
    assert published(settings, AUDITED) == once
    assert len(published(settings, RUNS)) == 1


def test_a_day_that_is_not_published_is_refused_with_what_to_run_first(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"2026-11-20 has no cashier_alcohol_days in .*; run its night"):
        run_window(settings, "window-1", BUSINESS_DATE)


def test_a_step_of_a_run_without_a_plan_is_refused(settings: Settings) -> None:
    with pytest.raises(InputError, match="run 'window-1' has not planned any window; run plan_windows first"):
        run_window_step(warehouse_of(settings, "window-1"), "check_window", [BUSINESS_DATE], settings)


def test_a_broken_rule_publishes_no_window_of_the_run(settings: Settings) -> None:
    warehouse = warehouse_of(settings, "window-1")
    publish_day(settings, EVE, "night-1", sales("c1", 3, 1))
    publish_day(settings, BUSINESS_DATE, "night-2", sales("c1", 3, 1))
    for step in WINDOW_STEPS[:-2]:
        run_window_step(warehouse, step, [EVE, BUSINESS_DATE], settings)
    publish_day(settings, BUSINESS_DATE, "night-3", sales("c1", 4, 1), sales("c2", 1, 1))
    with pytest.raises(FailedCheckError) as failure:
        run_window_step(warehouse, "check_window", [EVE, BUSINESS_DATE], settings)
    assert "no window that ends on 2026-11-20 is published: each cashier of the window's days" in str(failure.value)
    assert "store 0042 cashier c1: 7 sales in cashier_alcohol_days, 6 in the audit" in str(failure.value)
    assert "a row names the night runs that it was made from: 1 rows name other runs" in str(failure.value)
    with pytest.raises(InputError, match="the window that ends on 2026-11-20 has not passed check_window"):
        run_window_step(warehouse, "publish_window", [BUSINESS_DATE], settings)
    assert not list(warehouse.store.list(f"cashier_alcohol_audit/business_date={BUSINESS_DATE}"))


def test_a_run_that_dies_while_publishing_is_mended_by_running_it_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_day(settings, BUSINESS_DATE, "night-1", sales("c1", 3, 1))
    warehouse = warehouse_of(settings, "window-1")
    for step in WINDOW_STEPS[:-1]:
        run_window_step(warehouse, step, [BUSINESS_DATE], settings)
    for owner, method in ((RunRecords, "write"), (Staging, "drop")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, _die)
            with pytest.raises(KeyboardInterrupt):
                run_window_step(warehouse, "publish_window", [BUSINESS_DATE], settings)
    for _ in range(2):
        run_window_step(warehouse, "publish_window", [BUSINESS_DATE], settings)
    assert len(published(settings, RUNS)) == 1
    assert not list(warehouse.store.list("_staging"))


def test_a_night_and_a_window_of_one_day_do_not_wait_for_each_other(settings: Settings) -> None:
    night, window, other = (warehouse_of(settings, name) for name in ("night-1", "window-1", "window-2"))
    with (
        night.runs.lock(BUSINESS_DATE, 240),
        window.runs.lock(BUSINESS_DATE, 240, WINDOW_RUNS),
        pytest.raises(PublishingLockError, match="window that ends on 2026-11-20 is being published by run 'window-1'"),
        other.runs.lock(BUSINESS_DATE, 240, WINDOW_RUNS),
    ):
        pass


def test_a_window_is_as_long_as_the_setting_says(settings: Settings) -> None:
    publish_day(settings, EVE, "night-1", sales("c1", 3, 1))
    publish_day(settings, BUSINESS_DATE, "night-2", sales("c1", 3, 1))
    run_window(settings.model_copy(update={"window_days": 1}), "window-1", BUSINESS_DATE)
    assert published(settings, AUDITED) == [("2026-11-20", "window-1", "c1", 3, 1, ["night-2"])]


def test_the_table_that_a_night_stages_is_what_a_window_reads(settings: Settings) -> None:
    night = warehouse_of(settings, "night-1").with_model(settings.model_version)
    night.stage_arrow(ALCOHOL_SALE_AUDIT, BUSINESS_DATE, arrow_rows(ALCOHOL_SALE_AUDIT, sale()))
    cashier_alcohol_days.run(night, BUSINESS_DATE, settings)
    night.promote(CASHIER_ALCOHOL_DAYS, BUSINESS_DATE)
    run_window(settings, "window-1", BUSINESS_DATE)
    assert published(settings, AUDITED) == [("2026-11-20", "window-1", "c1", 1, 1, ["night-1"])]


def test_a_day_without_alcohol_sales_is_a_window_without_rows(settings: Settings) -> None:
    publish_day(settings, BUSINESS_DATE, "night-1", [])
    run_window(settings, "window-1", BUSINESS_DATE)
    assert published(settings, AUDITED) == []
    assert len(published(settings, RUNS)) == 1


def _die(*arguments: object) -> None:
    raise KeyboardInterrupt
