"""Which pages are written, when, and what happens where one cannot be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import InputError, StoreError
from jobs.report.page_address import INDEX, page_key
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, CASHIER_ALCOHOL_AUDIT
from jobs.schemas.dictionary import PUBLISHED_TABLES
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.settings import Settings
from jobs.steps import nightly_report, restate_reports
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.published_days import publish, publish_days, publish_run
from tests.given.rows import BUSINESS_DATE

EVE = BUSINESS_DATE - timedelta(days=1)


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """The days of `publish_days`, which holds for each test of its own: without Spark it takes no time."""
    return publish_days(settings.warehouse_uri)


def page(warehouse: Warehouse, key: str) -> str:
    return warehouse.store.read(key).decode()


def days_in(index: str) -> list[str]:
    return re.findall(r'href="business_date=([\d-]+)/index.html"', index)


def test_a_day_has_a_page_and_a_row_of_the_index(warehouse: Warehouse, settings: Settings) -> None:
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    written = sorted(entry.key for entry in warehouse.store.list("reports"))
    assert written == ["reports/business_date=2026-11-20/index.html", "reports/index.html"]
    assert days_in(page(warehouse, INDEX)) == ["2026-11-20"]


def test_a_page_made_twice_is_the_same_to_the_byte(warehouse: Warehouse, settings: Settings) -> None:
    pages = []
    for _ in range(2):
        nightly_report.run(warehouse, BUSINESS_DATE, settings)
        pages.append([page(warehouse, key) for key in (page_key(BUSINESS_DATE), INDEX)])
    assert pages[0] == pages[1]


def test_an_older_day_run_later_takes_its_place_in_the_index_and_on_the_pages_that_show_it(
    warehouse: Warehouse, settings: Settings
) -> None:
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    later = Warehouse(warehouse.store, "late")
    lacking = BUSINESS_DATE - timedelta(days=3)
    publish_run(later, lacking, 3, transaction_count=777)
    nightly_report.run(later, lacking, settings)
    assert days_in(page(warehouse, INDEX)) == ["2026-11-20", "2026-11-17"]
    shown = 'data-figure="trend.transaction_count" data-date="2026-11-17">777<'
    assert shown in page(warehouse, page_key(BUSINESS_DATE))


def test_a_day_published_anew_changes_its_row_of_the_index(warehouse: Warehouse, settings: Settings) -> None:
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    for table in PUBLISHED_TABLES:
        publish(Warehouse(warehouse.store, "again"), table, BUSINESS_DATE, [])
    publish_run(
        Warehouse(warehouse.store, "again"),
        BUSINESS_DATE,
        transaction_count=0,
        estimated_transaction_count=0,
        photographed_transaction_count=0,
        mean_estimated_age_years=None,
        mean_under_18_probability=None,
        published_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    restate_reports.run(warehouse, BUSINESS_DATE, settings)
    assert 'data-date="2026-11-20">0<' in page(warehouse, INDEX)
    assert 'data-verdict="unlike"' in page(warehouse, page_key(BUSINESS_DATE))


def test_a_day_without_a_page_is_not_given_one_by_what_restates(warehouse: Warehouse, settings: Settings) -> None:
    restate_reports.run(warehouse, BUSINESS_DATE, settings)
    assert list(warehouse.store.list("reports")) == []


def test_a_window_published_after_the_page_is_added_to_it(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.store.delete([f"cashier_alcohol_audit/business_date={BUSINESS_DATE}/part-0.parquet"])
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    assert "The window of days that ends on this day is not published yet" in page(warehouse, page_key(BUSINESS_DATE))
    publish(warehouse, CASHIER_ALCOHOL_AUDIT, BUSINESS_DATE, [{"asked_count": 3.0, "not_asked_count": 1.0}])
    restate_reports.run(warehouse, BUSINESS_DATE, settings)
    assert "No cashier can be judged yet" in page(warehouse, page_key(BUSINESS_DATE))


def test_a_day_that_is_not_published_is_refused_and_nothing_is_written(
    warehouse: Warehouse, settings: Settings
) -> None:
    with pytest.raises(InputError, match=r"business date 2026-11-17 is not published in .*; run its night first"):
        nightly_report.run(warehouse, BUSINESS_DATE - timedelta(days=3), settings)
    assert list(warehouse.store.list("reports")) == []


def test_a_day_that_is_being_published_has_no_page_of_two_runs(warehouse: Warehouse, settings: Settings) -> None:
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    before = page(warehouse, page_key(BUSINESS_DATE))
    publish(Warehouse(warehouse.store, "half"), ALCOHOL_REVIEW_CASES, BUSINESS_DATE, [{"case_id": "x"}])
    with pytest.raises(StoreError, match=r"'alcohol_review_cases' of 2026-11-20 is from run 'half', but"):
        nightly_report.run(warehouse, BUSINESS_DATE, settings)
    assert page(warehouse, page_key(BUSINESS_DATE)) == before


def test_a_page_that_cannot_be_made_changes_nothing_that_is_published(
    warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ValueError("no page")

    before = sorted((entry.key, entry.etag) for entry in warehouse.store.list())
    monkeypatch.setattr("jobs.steps.nightly_report.day_page", fail)
    with pytest.raises(ValueError, match="no page"):
        nightly_report.run(warehouse, BUSINESS_DATE, settings)
    assert sorted((entry.key, entry.etag) for entry in warehouse.store.list()) == before


def test_under_a_minimum_cell_count_ages_of_few_buyers_are_not_shown(warehouse: Warehouse, settings: Settings) -> None:
    nightly_report.run(warehouse, BUSINESS_DATE, settings.model_copy(update={"minimum_cell_count": 5}))
    written = page(warehouse, page_key(BUSINESS_DATE))
    of_ages = r'<data value="([\d.]+)" data-figure="(?:alcohol_sale_audit|age_mixes|transaction_ages)[^"]*"'
    assert {float(value) % 5 for value in re.findall(of_ages, written)} == {0.0}
    assert "Counts by age below 5 are not shown" in written


def test_a_day_that_an_older_version_published_has_a_page(warehouse: Warehouse, settings: Settings) -> None:
    (run,) = warehouse.runs.of_day(BUSINESS_DATE)
    newer = ["erased_line_count", "taken_over_photo_count", "photographed_transaction_count"]
    row, rows = pa.Table.from_pylist([run], PIPELINE_RUNS.schema).drop_columns(newer), pa.BufferOutputStream()
    pq.write_table(row, rows)
    warehouse.store.write(f"pipeline_runs/business_date={BUSINESS_DATE}/night-1.parquet", rows.getvalue().to_pybytes())
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    assert 'data-verdict="no_figure"' in page(warehouse, page_key(BUSINESS_DATE))


def test_the_command_says_where_the_page_lies(tmp_path: Path) -> None:
    publish_days(tmp_path.as_uri())
    shown = CliRunner().invoke(app, ["report", "--business-date", "2026-11-20", "--warehouse-uri", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.strip().endswith("/reports/business_date=2026-11-20/index.html")


@pytest.mark.slow
def test_pages_lie_on_s3_too(s3_bucket: str, settings: Settings) -> None:
    warehouse = publish_days(f"{s3_bucket}/report")
    nightly_report.run(warehouse, EVE, settings)
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    written = sorted(entry.key for entry in ObjectStore(f"{s3_bucket}/report").list("reports"))
    assert written == [page_key(EVE), page_key(BUSINESS_DATE), INDEX]
