"""take_screenshots: take pictures of the report of the last day of `make month`, for the READMEs.

`make screenshots` writes them to the folder `screenshots`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from jobs.operations.month import LAST, WAREHOUSE
from jobs.report.page_address import page_key
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


def main() -> int:
    """Take the pictures; return the exit code."""
    page = WAREHOUSE / page_key(LAST)
    if not page.is_file():
        print(f"no report of {LAST} in {WAREHOUSE}: run `make month` first", file=sys.stderr)
        return 2
    PICTURES.mkdir(exist_ok=True)
    with chromium() as browser:
        for name in SHOTS:
            take(browser, page, name)
    return 0


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
    sys.exit(main())
