"""take_screenshots: take pictures of the report of the day in `published_days`, at phone and desktop width, for README.

`make screenshots` writes them to the folder `screenshots`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser

from jobs.report.page_address import page_key
from jobs.settings import read_settings
from jobs.steps import nightly_report
from tests.given.published_days import publish_days
from tests.given.rows import BUSINESS_DATE
from tests.servers.chromium import chromium

PICTURES = Path(__file__).resolve().parent / "screenshots"
SHOTS = {
    # name: width, height and scheme of the screen, and the part that it begins with
    "report-desktop": (1280, 1180, "light", "body"),
    "report-offers": (1280, 660, "light", "#offers"),
    "report-phone": (390, 1250, "dark", "body"),
}
COLOURS = 128
"""A page has few colours: with this many, a picture stays under 200 KB."""


def main() -> None:
    """Write the page of a made-up day and take its pictures."""
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, chromium() as browser:
        warehouse = publish_days(Path(folder).as_uri(), hostile_name="BREAD")
        settings = read_settings({}, landing_uri=folder, warehouse_uri=folder)
        nightly_report.write_report(warehouse, BUSINESS_DATE, settings)
        for name in SHOTS:
            take(browser, Path(folder, page_key(BUSINESS_DATE)), name)


def take(browser: Browser, page: Path, name: str) -> None:
    """Take one picture."""
    width, height, scheme, begins_with = SHOTS[name]
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        opened = context.new_page()
        opened.goto(page.as_uri())
        opened.locator(begins_with).evaluate("each => window.scrollTo(0, each.getBoundingClientRect().top - 16)")
        file = PICTURES / f"{name}.png"
        opened.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
