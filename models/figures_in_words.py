"""figures_in_words: the figures of an evaluation as cells of a table, for the page and the card alike."""

from __future__ import annotations

from models.age_metrics import Figures

ERROR_HEADINGS = ["photos", "MAE, years", "bias, years", "within 5 years", "90 % interval holds", "width, years"]


def error_cells(row: Figures) -> list[str]:
    """Return the cells of a row of errors, below ERROR_HEADINGS."""
    return [
        str(row["photo_count"]),
        ranged(row, "mae", ".2f"),
        ranged(row, "bias", "+.2f"),
        ranged(row, "within_5_years_share", ".0%"),
        ranged(row, "interval_coverage", ".1%"),
        ranged(row, "interval_width_years", ".1f"),
    ]


def ranged(row: Figures, name: str, style: str) -> str:
    """Return a figure with its 95 % interval, if it has one, in brackets: '5.13 [4.88 to 5.39]'."""
    if row.get(name) is None:
        return "–"
    interval = row.get(f"{name}_interval_95")
    return f"{row[name]:{style}}" + (f" [{interval[0]:{style}} to {interval[1]:{style}}]" if interval else "")
