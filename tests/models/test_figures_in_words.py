from models.figures_in_words import ERROR_HEADINGS, error_cells, ranged


def test_a_share_of_nobody_is_a_dash() -> None:
    assert ranged({"rate": None, "rate_interval_95": None}, "rate", ".1%") == "–"


def test_a_figure_without_an_interval_stands_alone() -> None:
    assert ranged({"mae": 5.126}, "mae", ".2f") == "5.13"


def test_a_row_of_errors_has_a_cell_below_each_heading() -> None:
    figures = dict.fromkeys(("mae", "bias", "within_5_years_share", "interval_coverage", "interval_width_years"), 0.5)
    cells = error_cells({"photo_count": 7, **figures, "mae_interval_95": (0.25, 0.75)})
    assert cells == ["7", "0.50 [0.25 to 0.75]", "+0.50", "50%", "50.0%", "0.5"]
    assert len(cells) == len(ERROR_HEADINGS)
