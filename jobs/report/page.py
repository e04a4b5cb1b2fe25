"""page: renders the report page of a day, and the index of all days, as HTML. All inserted values are escaped.

Each section of the page has its own module, which queries the day's tables and returns plain values. The step
`nightly_report` reads the tables and writes the pages. Texts are in templates/, their translations in locale/.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup

from jobs.report import coverage as cover
from jobs.report.affinities import Affinities, affinities
from jobs.report.alcohol import Alcohol, alcohol
from jobs.report.cashiers import Cashiers, cashiers
from jobs.report.charts import Chart, bars_chart, cashier_funnel_chart, sparkline, trend_chart
from jobs.report.comparison import Comparison, ComparisonLimits, Trend, comparison
from jobs.report.coverage import Coverage, coverage
from jobs.report.day_tables import DayTables
from jobs.report.model_errors import ModelErrors, model_errors
from jobs.report.purchases import Purchases, purchases
from jobs.report.run_facts import RunFacts, run_facts
from jobs.report.words import Words, marked

TEMPLATES = Path(__file__).parent / "templates"

TREND_TITLES = {
    "transaction_count": marked("Receipts"),
    "photographed_share": marked("Receipts with a photo"),
    "estimated_share": marked("Receipts with an age estimate"),
    "mean_estimated_age_years": marked("Mean estimated age, years"),
    "mean_under_18_probability": marked("Mean P(under 18)"),
}
STATUS_WORDS = {
    "sale_refused": marked("the cashier refused the sale"),
    "sale_voided": marked("the alcohol was voided before payment"),
    "id_shown": marked("an ID was shown"),
    "no_estimate": marked("the buyer's age cannot be judged"),
    "clearly_adult": marked("the buyer looks old enough"),
    "check_not_logged": marked("the buyer looks young, and the till does not log ID checks"),
    "challenge_age_unchecked": marked("the buyer looks younger than the challenge age, and no ID was asked for"),
    "possibly_under_age_unchecked": marked("the buyer looks younger than the legal age, and no ID was asked for"),
}
REASON_WORDS = {
    "no_photo": marked("no photo was taken at the till during the transaction"),
    "no_usable_photo": marked("there is a photo, but no age can be estimated from it"),
    "unreadable_key": marked("the photo's name does not tell the till or the time"),
    "missing": marked("the photo was no longer there when it was fetched"),
    "replaced": marked("the photo was replaced after it was listed"),
    "unreadable_object": marked("the object store did not return the photo"),
    "empty": marked("the file is empty"),
    "too_large": marked("the file is too large"),
    "too_many_pixels": marked("the photo has too many pixels"),
    "too_small": marked("the photo is too small"),
    "not_an_image": marked("the file is not an image"),
    "unsupported_format": marked("the format of the image is not supported"),
    "truncated": marked("the file ends in the middle of the image"),
    "no_face": marked("no face is found"),
    "face_too_small": marked("the face is too small"),
    "face_too_dark": marked("the face is too dark"),
    "face_too_bright": marked("the face is too bright"),
    "face_low_contrast": marked("the face has too little contrast"),
    "face_too_blurred": marked("the face is too blurred"),
    "face_distorted": marked("the face is distorted"),
}


@dataclass(frozen=True)
class PageSettings:
    """The settings by which the page of a day counts and explains."""

    minimum_cell_count: int
    minimum_affinity_transaction_count: int
    minimum_compared_count: float
    under_challenge_age_alert_probability: float


@dataclass(frozen=True)
class DayFigures:
    """All figures on the report page of a day, by section."""

    business_date: date
    run: Mapping[str, Any]
    comparison: Comparison
    purchases: Purchases
    affinities: Affinities
    alcohol: Alcohol
    cashiers: Cashiers
    coverage: Coverage
    model: ModelErrors | None
    facts: RunFacts


@dataclass(frozen=True)
class ReportedDay:
    """A row of the index page: a day that has a report page, and the last run that published it."""

    business_date: date
    run: Mapping[str, Any]

    @property
    def photographed_share(self) -> float | None:
        """Share of the day's receipts with a photo."""
        return _share(self.run["photographed_transaction_count"], self.run["transaction_count"])

    @property
    def estimated_share(self) -> float | None:
        """Share of the day's receipts with an age estimate."""
        return _share(self.run["estimated_transaction_count"], self.run["transaction_count"])


def day_figures(day: DayTables, settings: PageSettings, limits: ComparisonLimits) -> DayFigures:
    """Compute all figures of a day from its tables."""
    minimum = settings.minimum_cell_count
    return DayFigures(
        day.business_date,
        day.run,
        comparison(day, limits),
        purchases(day, minimum),
        affinities(day, settings.minimum_affinity_transaction_count, minimum),
        alcohol(day, settings.under_challenge_age_alert_probability, minimum),
        cashiers(day),
        coverage(day),
        model_errors(day.run["model_version"]),
        run_facts(day),
    )


def day_page(figures: DayFigures, words: Words, settings: PageSettings, time_zone: ZoneInfo) -> str:
    """Render the page of a day as one HTML file."""
    charts = _day_charts(figures, words)
    return _rendered("day.html", words, time_zone, figures=figures, charts=charts, settings=settings)


def index_page(days: Sequence[ReportedDay], words: Words, time_zone: ZoneInfo) -> str:
    """Render the index of the days with a page, given in order; the latest is shown first."""
    return _rendered("index.html", words, time_zone, days=list(reversed(days)), charts=_index_charts(days, words))


def _day_charts(figures: DayFigures, words: Words) -> dict[str, Any]:
    text = words.text
    read_it = text(
        "Bars are estimates, lines are their 90 %% intervals, rings are counts by point estimate. "
        "The table below has all numbers."
    )
    return {
        "buyers": bars_chart(figures.purchases.buyers, text("Receipts by the buyer's age"), read_it, words),
        "categories": [
            bars_chart(category.bars, category.product_category, read_it, words) for category in figures.purchases.drawn
        ],
        "trends": [_trend_chart(trend, figures.comparison, words) for trend in figures.comparison.trends],
        "cashiers": cashier_funnel_chart(
            figures.cashiers,
            text("How often cashiers ask for an ID"),
            text(
                "Points are cashiers without names. If all asked alike, nearly all points would lie between the lines."
            ),
            words,
        )
        if figures.cashiers.judged
        else None,
    }


def _trend_chart(trend: Trend, compared: Comparison, words: Words) -> Chart:
    description = words.text("One point a day; the table below has all numbers.")
    return trend_chart(
        trend, compared, words.text(TREND_TITLES[trend.name]), description, words, _in_unit(trend.name, words)
    )


def _index_charts(days: Sequence[ReportedDay], words: Words) -> list[Chart]:
    shown: dict[str, list[float | None]] = {
        "transaction_count": [float(day.run["transaction_count"]) for day in days],
        "estimated_share": [day.estimated_share for day in days],
        "mean_estimated_age_years": [day.run["mean_estimated_age_years"] for day in days],
        "mean_under_18_probability": [day.run["mean_under_18_probability"] for day in days],
    }
    dates = [day.business_date for day in days]
    return [
        sparkline(dates, values, words.text(TREND_TITLES[name]), words.text("One point a day, the latest marked."))
        for name, values in shown.items()
        if dates
    ]


def _in_unit(name: str, words: Words) -> Any:
    """Return the function that writes a figure's values."""
    if name.endswith("_share"):
        return words.share
    if name.endswith("_probability"):
        return partial(words.number, digits=3)
    return words.count if name.endswith("_count") else words.number


def _rendered(name: str, words: Words, time_zone: ZoneInfo, **values: object) -> str:
    style = (TEMPLATES / "style.css").read_text()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(words.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "count": words.count,
        "number": words.number,
        "share": words.share,
        "money": words.money,
        "day": words.day,
        "age_group": words.age_group,
        "moment": partial(words.moment, time_zone=time_zone),
        "translated": words.text,
    }
    return environment.get_template(name).render(
        words=words,
        style=Markup(style),
        # The page's Content-Security-Policy allows this one style sheet, by its hash.
        style_sha256=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        in_unit=partial(_in_unit, words=words),
        shade=cover.shade,
        trend_titles=TREND_TITLES,
        status_words=STATUS_WORDS,
        reason_words=REASON_WORDS,
        **values,
    )


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None
