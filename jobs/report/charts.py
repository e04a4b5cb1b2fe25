"""charts: draws the report's charts with matplotlib, as SVG that needs no script and no font.

Each shape has one of four placeholder colours. The page's style sheet replaces them with those of its light or dark
scheme. Styles are SVG attributes and not HTML styles, so that a strict Content-Security-Policy allows them.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobs.errors import one_line
from jobs.report.cashiers import CONTROL_LIMITS, Cashiers
from jobs.report.comparison import Comparison, Trend
from jobs.report.purchases import Bar
from jobs.report.words import Words

INK, ESTIMATE, POINT, MARK = "#010101", "#020202", "#030303", "#040404"
"""Placeholders by use; the style sheet names these four values, so a change here loses the colours."""
WIDTH_INCHES = 4.6
SVG = "{http://www.w3.org/2000/svg}"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "checkout-ages",
    "text.parse_math": False,
    "font.family": ["sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_locale": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True)
class Chart:
    """A chart as SVG, with a title and a description for people who cannot see it."""

    svg: Markup
    title: str
    description: str


Numbers = Callable[[float], str]


def bars_chart(bars: Sequence[Bar], title: str, description: str, words: Words) -> Chart:
    """Draw a bar for each age group: the estimate with its interval, and a ring for the count by point estimate."""
    with mpl.rc_context(STYLE):
        figure, axes = _new(0.34 * len(bars) + 0.75)
        at = np.arange(len(bars))
        axes.barh(at, [bar.estimate for bar in bars], height=0.62, color=ESTIMATE, alpha=0.55, linewidth=0)
        for row, bar in enumerate(bars):
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [row, row], color=INK, linewidth=1.4)
        axes.plot(
            [bar.point_count for bar in bars], at, "o", markerfacecolor="none", markeredgecolor=POINT, markersize=7
        )
        axes.set_yticks(at, [words.age_group(bar.age_group) for bar in bars])
        # barh starts at the bottom; the youngest group belongs at the top.
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel(words.text("receipts"))
        axes.grid(axis="x", alpha=0.25)
        _number_axis(axes, "x", words.count)
        return _chart(figure, title, description)


def trend_chart(
    trend: Trend, compared: Comparison, title: str, description: str, words: Words, numbers: Numbers
) -> Chart:
    """Draw a figure by day, as a line with a gap for each missing day and a triangle under each day with a warning.

    A dashed line shows the median of the week before.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _new(2.1)
        days = list(compared.days)
        values = [np.nan if (value := trend.values[day]) is None else value for day in days]
        axes.plot(range(len(days)), values, "o-", color=ESTIMATE, markersize=3.5, linewidth=1.3)
        axes.plot(len(days) - 1, values[-1], "o", color=ESTIMATE, markersize=8)
        if trend.usual is not None:
            axes.plot([len(days) - 8, len(days) - 1], [trend.usual] * 2, color=POINT, linewidth=1.3, linestyle="--")
        axes.margins(y=0.25)
        # Marks at the foot of the chart: x in days, y as a share of the height.
        foot = axes.get_xaxis_transform()
        lacking = [number for number, day in enumerate(days) if day in compared.lacking]
        axes.plot(lacking, [0.03] * len(lacking), "x", color=POINT, markersize=4, transform=foot, clip_on=False)
        warned = [number for number, day in enumerate(days) if compared.warnings.get(day)]
        axes.plot(warned, [0.06] * len(warned), "^", color=MARK, markersize=6, transform=foot, clip_on=False)
        ticks = range(len(days) - 1, -1, -7)
        axes.set_xticks(list(ticks), [words.day(days[tick], "d MMM") for tick in ticks])
        axes.set_xlim(-0.8, len(days) - 0.2)
        axes.grid(axis="y", alpha=0.25)
        _number_axis(axes, "y", numbers)
        return _chart(figure, title, description)


def cashier_funnel_chart(cashiers: Cashiers, title: str, description: str, words: Words) -> Chart:
    """Draw cashiers as a funnel plot: a point for each judged cashier, between limits that narrow to the right."""
    with mpl.rc_context(STYLE):
        figure, axes = _new(3.4)
        known = np.array([cashier.precision for cashier in cashiers.judged])
        widest = float(known.max()) * 1.08 if len(known) else 1.0
        # Not from 0: the limits are infinite where nothing is known.
        along = np.linspace(widest / 60, widest, 120)
        for held, quantile in CONTROL_LIMITS.items():
            style = "--" if quantile < 2 else "-"
            for side in (-1, 1):
                label = words.text("limits %(share)s", share=words.share(held, 1)) if side > 0 else None
                axes.plot(along, side * quantile / np.sqrt(along), style, color=POINT, linewidth=1.1, label=label)
        axes.axhline(0, color=INK, linewidth=0.8)
        for cashier in cashiers.judged:
            marker, colour = ("D", MARK) if cashier.is_to_be_looked_at else ("o", ESTIMATE)
            axes.plot(cashier.precision, cashier.difference, marker, color=colour, markersize=6, alpha=0.8)
        reach = max([0.3, *(abs(cashier.difference) * 1.15 for cashier in cashiers.judged)])
        axes.set_ylim(-min(reach, 1.0), min(reach, 1.0))
        axes.set_xlim(0, widest)
        axes.set_xlabel(words.text("certainty of the difference (1 / variance)"))
        axes.set_ylabel(words.text("asks more or less often than others"))
        axes.legend(frameon=False, fontsize=9, loc="upper right")
        _number_axis(axes, "x", words.count)
        _number_axis(axes, "y", words.share)
        return _chart(figure, title, description)


def sparkline(days: Sequence[date], values: Sequence[float | None], title: str, description: str) -> Chart:
    """Draw a small line chart without axes, and mark its last value."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.9, 0.42))
        axes = figure.add_axes((0.02, 0.08, 0.96, 0.84))
        axes.axis("off")
        heights = [np.nan if value is None else value for value in values]
        at = [(day - days[0]).days for day in days]
        axes.plot(at, heights, "-", color=ESTIMATE, linewidth=1.4)
        axes.plot(at[-1:], heights[-1:], "o", color=ESTIMATE, markersize=4)
        axes.margins(y=0.2)
        return _chart(figure, title, description)


def _new(height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    return figure, axes


def _number_axis(axes: Axes, which: str, numbers: Numbers) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(ticker.MaxNLocator(5))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: numbers(value)))


def _chart(figure: Figure, title: str, description: str) -> Chart:
    drawn = io.StringIO()
    # Without date and creator, the same figures give the same bytes.
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(_for_page(drawn.getvalue()), title, description)


def _for_page(svg: str) -> Markup:
    """Return a drawing that takes its colours from the page, without style, metadata or size of its own."""
    ET.register_namespace("", SVG[1:-1])
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    # one_line replaces control characters of a category's name, which XML does not allow.
    root = ET.fromstring(one_line(svg.replace("\n", " ")))
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"aria-hidden": "true", "focusable": "false"}
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
        if parent.tag == f"{SVG}g":
            parent.attrib.pop("id", None)  # the same in each drawing, and nothing refers to it
        _style_to_attributes(parent)
    return Markup(ET.tostring(root, encoding="unicode"))  # ElementTree has escaped all texts


def _style_to_attributes(element: ET.Element) -> None:
    """Turn the style of an element into attributes; of its font keep the size only."""
    for part in element.attrib.pop("style", "").split(";"):
        name, _, value = (text.strip() for text in part.partition(":"))
        if name == "font":
            name, value = "font-size", next(iter(re.findall(r"[\d.]+px", value)), "10px")
        if name:
            element.set(name, value)
