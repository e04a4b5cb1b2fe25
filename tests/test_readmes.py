"""What holds of all READMEs: length, links, and marks of generated parts."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from jobs.operations.render_readmes import PARTS, README, READMES, ROOT

PAGES = (*READMES, ROOT / "models/TRAINING.md", ROOT / "models/EXPERIMENTS.md")
MOST_LINES = 250
MADE_LATER = ("docker/.env",)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    twice = [slug for slug, count in Counter(slugs).items() if count > 1]
    assert not twice, f"{page.relative_to(ROOT)} has two headings of one name: {twice}"
    return set(slugs)


def test_readme_is_read_in_five_minutes() -> None:
    assert len(README.read_text().splitlines()) <= MOST_LINES


def test_each_readme_of_the_tree_is_known() -> None:
    found = [ROOT / "README.md", *ROOT.glob("[a-z]*/README.md"), *ROOT.glob("[a-z]*/[a-z]*/README.md")]
    assert set(found) == set(READMES)


@pytest.mark.parametrize("page", READMES[1:], ids=lambda page: str(page.parent.relative_to(ROOT)))
def test_readme_leads_to_each_other_page(page: Path) -> None:
    assert f"({page.relative_to(ROOT)})" in README.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_relative_link_and_anchor_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.relative_to(ROOT)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_file_named_in_code_by_its_path_is_there(page: Path) -> None:
    named = re.findall(r"`((?:jobs|models|dags|docker|tests)/[\w./-]*[\w/])`", FENCED.sub("", page.read_text()))
    gone = [path for path in named if path not in MADE_LATER and "NAME" not in path and not (ROOT / path).exists()]
    assert not gone, f"{page.relative_to(ROOT)} names {gone}"


@pytest.mark.parametrize("page", PARTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_part_has_its_marks_once(page: Path) -> None:
    for part in PARTS[page]:
        for mark in (f"<!-- {part} -->\n", f"<!-- /{part} -->\n"):
            assert page.read_text().count(mark) == 1
