"""screenshots: the nightly DAG and a finished run, as Airflow's own UI shows them in Chromium, for README."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docker.airflow_client import Airflow

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WINDOW = {"width": 1500, "height": 860}


def take_screenshots(airflow: Airflow, dag_id: str, run_id: str, folder: Path) -> None:
    """Write airflow-graph.png and airflow-run.png into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with logged_in(airflow) as page:
        page.goto(f"{airflow.url}/dags/{dag_id}")
        page.evaluate(f"localStorage.setItem('dag_view-{dag_id}', '\"graph\"')")
        for name, path in (("graph", f"/dags/{dag_id}"), ("run", f"/dags/{dag_id}/runs/{run_id}")):
            page.goto(airflow.url + path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(3000)
            page.screenshot(path=folder / f"airflow-{name}.png")


@contextmanager
def logged_in(airflow: Airflow) -> Iterator[Page]:
    """Yield a page of the UI after the login."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport=WINDOW)
        page.goto(airflow.url)
        page.locator("input[name=username]").fill(airflow.user)
        page.locator("input[name=password]").fill(airflow.password)
        page.locator("button[type=submit]").click()
        page.wait_for_url(f"{airflow.url}/")
        yield page
        browser.close()
