"""screenshots: take pictures of the nightly DAG and a finished run in Airflow's own UI, for README."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.docker.airflow_client import Airflow

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE_SECONDS = 120
SETTLE_SECONDS = 5
WINDOWS = {"graph": {"width": 2000, "height": 560}, "run": {"width": 1300, "height": 1000}}
GRAPH = ".react-flow"


def take_screenshots(airflow: Airflow, dag_id: str, run_id: str, folder: Path) -> None:
    """Write airflow-graph.png and airflow-run.png into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with logged_in(airflow) as page:
        for name, view, path in (
            ("graph", "graph", f"/dags/{dag_id}/tasks"),
            ("run", "grid", f"/dags/{dag_id}/runs/{quote(run_id)}"),
        ):
            page.evaluate(f"""localStorage.setItem("default_dag_view", '"{view}"')""")
            page.set_viewport_size(WINDOWS[name])
            page.goto(airflow.url + path)
            page.get_by_text("publish_night").first.wait_for()
            page.wait_for_timeout(SETTLE_SECONDS * 1000)
            shown = page.locator(GRAPH) if name == "graph" else page
            shown.screenshot(path=folder / f"airflow-{name}.png")


@contextmanager
def logged_in(airflow: Airflow) -> Iterator[Page]:
    """Yield a page of the UI after the login."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.goto(airflow.url)
        page.locator("input[name=username]").fill(airflow.user)
        page.locator("input[name=password]").fill(airflow.password)
        page.locator("button[type=submit]").click()
        page.wait_for_url(f"{airflow.url}/")
        yield page
        browser.close()
