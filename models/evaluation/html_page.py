"""html_page: write one HTML file with words, tables, charts and photos inside. It loads nothing and runs no script.

    page = Page(title="Ages", lead="What the labels say.", sections=[Section("Ages", charts=[chart_of(figure, "…")])])
    write_page(page, Path("out/index.html"))

Charts are SVG. Their ink is the text colour of the page, so that they are readable in light and dark mode.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from models.serving.photo_preprocessing import Pixels, to_network_input

INK = "#1b1e28"
"""Colour of text and axes in charts, replaced by the page's `currentColor`. No other colour of a chart may equal it."""
BLUE, ORANGE, GREY = "#3b82c4", "#dd7a2b", "#8a8f98"
"""Colours that differ on white and on black, for people with any colour vision."""

CHART_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "checkout-ages",
    "font.family": ["sans-serif"],
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
THUMBNAIL_PIXELS = 96


@dataclass(frozen=True)
class PageTable:
    """A table of formatted cells with headings; the first column names the row."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class PagePhoto:
    """A small photo as a data URI, with the text below it."""

    data_uri: str
    words: str


@dataclass(frozen=True)
class PageChart:
    """A chart as SVG, with a description for people who cannot see it. Matplotlib escapes the texts in the SVG."""

    svg: str
    description: str


@dataclass(frozen=True)
class PhotoGrid:
    """A grid of photos below a heading."""

    title: str
    photos: Sequence[PagePhoto]


@dataclass(frozen=True)
class Section:
    """A part of the page: text, then charts, tables and photos, all optional."""

    title: str
    paragraphs: Sequence[str] = ()
    charts: Sequence[PageChart] = ()
    tables: Sequence[PageTable] = ()
    grids: Sequence[PhotoGrid] = ()


@dataclass(frozen=True)
class Page:
    """The content of an HTML page."""

    title: str
    lead: str
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)
    """The few numbers at the top: (number, what it counts)."""
    warning: str = ""


def write_page(page: Page, path: Path) -> None:
    """Render a page into one HTML file. All text is escaped."""
    path.write_text(page_template("page.html").render(page=page))


def new_chart(
    title: str, x_axis: str, y_axis: str, size_inches: tuple[float, float] = (7.2, 3.6)
) -> tuple[Figure, Axes]:
    """Return a figure with one set of axes and a title, in the style of the pages, without opening a window."""
    with mpl.rc_context(CHART_STYLE):
        figure = Figure(figsize=size_inches, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
    return figure, axes


def chart_of(figure: Figure, description: str, png: Path | None = None) -> PageChart:
    """Turn a figure into a chart for a page and, if `png` is given, also into that file."""
    svg = io.StringIO()
    # No date, and a fixed hash salt in CHART_STYLE: the same figures give the same page.
    with mpl.rc_context(CHART_STYLE):
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        if png:
            figure.savefig(png, dpi=130, facecolor="white")
    # Inside HTML an SVG must not have its XML declaration and document type.
    drawing = svg.getvalue()[svg.getvalue().index("<svg") :]
    return PageChart(drawing.replace(INK, "currentColor"), description)


def page_photo(pixels: Pixels, words: str) -> PagePhoto:
    """Make a thumbnail of the middle square of (height, width, 3) pixels."""
    file = io.BytesIO()
    Image.fromarray(to_network_input(np.ascontiguousarray(pixels), THUMBNAIL_PIXELS)).save(file, "JPEG", quality=85)
    return PagePhoto(f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", words)


def page_template(name: str) -> jinja2.Template:
    """Load a template of this package. In HTML templates, inserted values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
