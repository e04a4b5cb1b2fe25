"""The report in a real Chromium: its texts, the files that it loads, and its accessibility."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from jobs.report.page_address import INDEX, page_key
from jobs.settings import Settings
from jobs.steps import nightly_report
from jobs.warehouse.warehouse import Warehouse
from tests.given.published_days import CASHIER, HOSTILE, PHOTO, RECEIPT
from tests.given.rows import BUSINESS_DATE
from tests.report_numbers import QUERIES, found, said

pytestmark = pytest.mark.slow

PAGES = (page_key(BUSINESS_DATE), INDEX)
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
MOST_BYTES = 3_000_000


@pytest.mark.parametrize("key", PAGES)
def test_a_page_opens_without_an_error_and_asks_for_nothing_else(
    context: BrowserContext, folder: Path, key: str
) -> None:
    opened = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto((folder / key).as_uri(), wait_until="networkidle")
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [(folder / key).as_uri()]


def test_what_a_page_is_not_meant_to_load_or_run_is_refused(page: Page) -> None:
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.evaluate("""() => {
        document.body.append(Object.assign(document.createElement("script"), {textContent: "window.ran = true"}));
        document.body.append(Object.assign(document.createElement("img"), {src: "http://127.0.0.1:9/x.png"}));
    }""")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert any("127.0.0.1:9" in text and "Content Security Policy" in text for text in refused)


@pytest.mark.parametrize("figure", QUERIES)
def test_its_numbers_are_those_of_the_tables(read_page: Page, folder: Path, figure: str) -> None:
    expected = found(str(folder), BUSINESS_DATE, figure)
    if figure == "pipeline_runs.transaction_count":  # one row stands for the log
        expected = {(): 560.0}
    assert said(read_page, figure) == pytest.approx(expected)
    assert expected


def test_a_hostile_name_stays_text(read_page: Page) -> None:
    assert HOSTILE in read_page.locator("table.heat tbody th").all_inner_texts()
    assert read_page.locator("img, script").count() == 0
    assert read_page.get_by_text(HOSTILE).count() >= 3


@pytest.mark.parametrize("secret", [CASHIER, RECEIPT, PHOTO])
@pytest.mark.parametrize("key", PAGES)
def test_no_cashier_receipt_or_photo_is_named(folder: Path, key: str, secret: str) -> None:
    assert secret not in (folder / key).read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("key", PAGES)
def test_axe_finds_nothing_serious(browser: Browser, folder: Path, key: str, scheme: str) -> None:
    with browser.new_context(viewport=DESKTOP, color_scheme=scheme) as context:  # type: ignore[arg-type]
        opened = context.new_page()
        opened.goto((folder / key).as_uri())
        opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        violations = Axe().run(opened).response["violations"]
    serious = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in violations
               if each["impact"] in ("serious", "critical")]  # fmt: skip
    assert serious == []


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("key", PAGES)
def test_nothing_makes_the_page_wider_than_the_screen(
    browser: Browser, folder: Path, key: str, size: dict[str, int]
) -> None:
    with browser.new_context(viewport=size) as context:  # type: ignore[arg-type]
        opened = context.new_page()
        opened.goto((folder / key).as_uri())
        opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert opened.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_dark_and_light_differ_in_paper_and_ink(browser: Browser, folder: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:  # type: ignore[arg-type]
            opened = context.new_page()
            opened.goto((folder / PAGES[0]).as_uri())
            colours[scheme] = opened.evaluate("""() => [
                getComputedStyle(document.documentElement).backgroundColor,
                getComputedStyle(document.querySelector("figure svg text")).fill]""")
    assert colours["light"] == ["rgb(255, 255, 255)", "rgb(27, 30, 40)"]
    assert colours["dark"] == ["rgb(20, 22, 28)", "rgb(232, 234, 240)"]


def test_a_reader_goes_through_it_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("details summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("each => each.open")


def test_print_shows_what_is_folded(page: Page) -> None:
    inside = page.locator("details table").first
    assert not inside.is_visible()
    page.emulate_media(media="print")
    assert inside.is_visible()


def test_a_page_is_small_enough_to_send(folder: Path) -> None:
    assert all((folder / key).stat().st_size < MOST_BYTES for key in PAGES)


def test_a_reader_answers_three_questions_from_the_page_alone(read_page: Page) -> None:
    answers = read_page.locator(".readers").inner_text()
    assert "BEERS/ALES: people of 18–24, 2.1 times as often (1.6 to 2.7)" in answers
    assert "15 of 123 alcohol sales could not be judged. 11: no photo was taken" in answers
    assert "Comparable with the week before:" in answers


def test_the_index_leads_to_each_page_and_back(page: Page) -> None:
    page.get_by_role("link", name="All reported nights").click()
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("link", name="19 Nov 2026").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Night of Thursday, 19 November 2026"


def test_the_russian_page_says_it_in_russian(context: BrowserContext, reported: Settings, folder: Path) -> None:
    in_russian = reported.model_copy(update={"report_language": "ru"})
    warehouse = Warehouse(nightly_report.ObjectStore(reported.warehouse_uri), "report")
    day = BUSINESS_DATE - timedelta(days=1)
    nightly_report.write_report(warehouse, day, in_russian)
    opened = context.new_page()
    opened.goto((folder / page_key(day)).as_uri())
    assert opened.locator("html").get_attribute("lang") == "ru"
    assert opened.get_by_role("heading", level=1).inner_text().startswith("Ночь: четверг, 19 ноября 2026")
