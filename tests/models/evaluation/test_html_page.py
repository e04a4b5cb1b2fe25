import re
from pathlib import Path

import numpy as np

from models.evaluation.html_page import (
    Page,
    PageChart,
    PageTable,
    PhotoGrid,
    Section,
    chart_of,
    new_chart,
    page_photo,
    write_page,
)


def written(page: Page, folder: Path) -> str:
    write_page(page, folder / "index.html")
    return (folder / "index.html").read_text()


def a_chart(png: Path | None = None) -> PageChart:
    figure, axes = new_chart("Errors & <others>", "age, years", "photos")
    axes.bar([1, 2], [3, 4])
    return chart_of(figure, "Photos by age", png)


def test_a_page_holds_words_tables_charts_and_photos_and_loads_nothing(tmp_path: Path) -> None:
    photo = page_photo(np.full((120, 80, 3), 90, dtype="uint8"), "30 years")
    section = Section(
        "Ages",
        ["Few are old."],
        [a_chart()],
        [PageTable(["age", "photos"], [["90", "2"]])],
        [PhotoGrid("Old", [photo])],
    )
    page = written(Page("Faces", "What there is.", [section], [("7", "photos")], "Keep it."), tmp_path)
    for words in ("Faces", "What there is.", "Few are old.", "<td>90</td>", "Old", "30 years", "Keep it.", "</svg>"):
        assert words in page
    assert 'src="data:image/jpeg;base64,' in page
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)""", page) + re.findall(r"@import|<script", page)
    assert outside == []


def test_labels_cannot_smuggle_in_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    section = Section(evil, [evil], tables=[PageTable([evil], [[evil]], evil)])
    page = written(Page(evil, evil, [section], [(evil, evil)], evil), tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_charts_take_the_ink_of_the_page_and_become_files(tmp_path: Path) -> None:
    chart = a_chart(tmp_path / "ages.png")
    assert "currentColor" in chart.svg
    assert "#000000" not in chart.svg
    assert "Errors &amp; &lt;others&gt;" in chart.svg
    assert (tmp_path / "ages.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_figures_give_the_same_chart() -> None:
    assert a_chart().svg == a_chart().svg
