"""One warehouse with reports, shared by all tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from jobs.report.page_address import page_key
from jobs.settings import Settings, read_settings
from jobs.steps import nightly_report
from tests.given.published_days import publish_days
from tests.given.rows import BUSINESS_DATE


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse with the pages of two days and the index."""
    folder = tmp_path_factory.mktemp("reported").as_uri()
    settings = read_settings({}, landing_uri=folder, warehouse_uri=folder)
    warehouse = publish_days(folder)
    nightly_report.run(warehouse, BUSINESS_DATE - timedelta(days=1), settings)
    nightly_report.run(warehouse, BUSINESS_DATE, settings)
    return settings


@pytest.fixture(scope="session")
def folder(reported: Settings) -> Path:
    return Path(reported.warehouse_uri.removeprefix("file://"))


@pytest.fixture(scope="session")
def read_page(browser: Browser, folder: Path) -> Iterator[Page]:
    """The day's page, for tests that only read it."""
    with browser.new_context() as context:
        opened = context.new_page()
        opened.goto((folder / page_key(BUSINESS_DATE)).as_uri())
        yield opened


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as opened:
        yield opened


@pytest.fixture
def page(context: BrowserContext, folder: Path) -> Page:
    opened = context.new_page()
    opened.goto((folder / page_key(BUSINESS_DATE)).as_uri())
    return opened
