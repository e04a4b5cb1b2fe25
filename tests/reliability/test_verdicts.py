from __future__ import annotations

import pytest

from tests.reliability.verdicts import ALL_OF, AT_LEAST, NONE_OF, PEAK, merged, verdicts

GOOD = dict.fromkeys(NONE_OF, 0.0) | AT_LEAST | dict.fromkeys(ALL_OF.values(), 50.0) | dict.fromkeys(ALL_OF, 50.0)


def broken(figures: dict[str, float], quick: bool = False) -> set[str]:
    return {name for name, (_, holds) in verdicts(figures, quick).items() if not holds}


def test_good_figures_hold() -> None:
    assert broken(GOOD | {PEAK: 900.0}) == set()


@pytest.mark.parametrize("name", NONE_OF)
def test_one_loss_is_one_too_many(name: str) -> None:
    assert broken(GOOD | {name: 1.0}) == {name}


@pytest.mark.parametrize("name", ALL_OF)
def test_what_is_not_caught_survived_or_mended_shows(name: str) -> None:
    assert broken(GOOD | {name: 49.0}) == {name}


@pytest.mark.parametrize("name", AT_LEAST)
def test_a_full_set_that_tried_too_little_shows_and_a_quick_one_may(name: str) -> None:
    few = GOOD | {name: AT_LEAST[name] - 1.0}
    assert name in broken(few)
    assert name in ALL_OF or broken(few, quick=True) == set()


def test_counts_of_parts_add_up_and_the_highest_memory_counts() -> None:
    parts = {"a": {"controls_caught": 1.0, PEAK: 300.0}, "b": {"controls_caught": 2.0, PEAK: 200.0}}
    assert merged(parts) == {"controls_caught": 3.0, PEAK: 300.0}
    assert broken({PEAK: 4000.0}) == {PEAK}
