from typing import Any

from models.evaluation.model_card import CARD, known_failures, rendered


def test_the_model_card_shows_the_figures_as_they_are() -> None:
    assert CARD.read_text() == rendered(), "run `make card`"


def test_groups_with_the_largest_errors_are_named() -> None:
    def group(age_band: str, mae: float, bias: float, coverage: float, photo_count: int = 100) -> dict[str, Any]:
        figures = {"mae": mae, "bias": bias, "interval_coverage": coverage}
        return {
            "age_band": age_band,
            "photo_count": photo_count,
            **figures,
            **{f"{name}_interval_95": (value - 0.1, value + 0.1) for name, value in figures.items()},
        }

    few = group("65+", 20.0, -20.0, 0.1, photo_count=99)
    failures = list(
        known_failures({"by_age_band": [group("0-17", 2.0, 1.5, 0.93), group("45-54", 8.0, -2.5, 0.8), few]})
    )
    assert failures == [
        "People of 45-54 are taken for younger than labelled: bias -2.5 [-2.6 to -2.4] years.",
        "People of 0-17 are taken for older than labelled: bias +1.5 [+1.4 to +1.6] years.",
        "People of 45-54 have a mean absolute error of 8.0 [7.9 to 8.1] years.",
        "People of 0-17 have a mean absolute error of 2.0 [1.9 to 2.1] years.",
        "People of 45-54: only 80.0% [70.0% to 90.0%] of 90 % intervals hold the age.",
    ]
