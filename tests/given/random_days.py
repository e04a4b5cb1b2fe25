"""random_days: random days of small stores, one store per day, on a coarse grid of times, so that ties are common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from numpy.random import Generator

from tests.given.rows import at, certain_of, line

TICK_SECONDS = 10
TICKS = 24
UNUSABLE_SHARE = 0.2
NAMED_SHARE = 0.15
SKEWS_SECONDS = (-20.0, -0.5, 10.0, 30.0)


@dataclass
class Days:
    """Receipt lines, photos and estimates of many stores, and the clock skews of their tills."""

    transaction_lines: list[dict[str, Any]] = field(default_factory=list)
    checkout_photos: list[dict[str, Any]] = field(default_factory=list)
    photo_age_estimates: list[dict[str, Any]] = field(default_factory=list)
    till_clock_skew_seconds: dict[str, float] = field(default_factory=dict)

    def add_photo(self, photo: dict[str, Any], age_years: int | None) -> None:
        self.checkout_photos.append(photo)
        unusable = {"age_distribution": None, "estimate_reason": "0 bytes"}
        estimate = unusable if age_years is None else {"age_distribution": certain_of(age_years)}
        self.photo_age_estimates.append({"photo_key": photo["photo_key"]} | estimate)


def random_days(count: int, random: Generator) -> Days:
    """Draw days. In stores named 'queue-…' a till serves one buyer after another; in others spans may overlap."""
    days = Days()
    for number in range(count):
        is_queue = number % 4 == 0
        for till in range(random.integers(1, 4)):
            place = {"store_id": f"{'queue' if is_queue else 'any'}-{number}", "till_id": f"{till:02d}"}
            _add_till(days, place, is_queue, random)
    return days


def _add_till(days: Days, place: dict[str, Any], is_queue: bool, random: Generator) -> None:
    if random.random() < 0.15:
        days.till_clock_skew_seconds["/".join(place.values())] = float(random.choice(SKEWS_SECONDS))
    spans = list(_queue(random) if is_queue else _overlapping(random))
    logs_opening = is_queue or random.random() < 0.75
    names = random.permutation(len(spans))
    for name, (opened, closed) in zip(names, spans, strict=True):
        opened_at = _moment(opened) if logs_opening else None
        receipt = {"transaction_id": f"t{name}", "opened_at": opened_at, "closed_at": _moment(closed)}
        days.transaction_lines.append(line(**place, **receipt))
    for number, seconds in enumerate(_photo_seconds(random)):
        is_named = random.random() < NAMED_SHARE
        photo = place | {
            "photo_key": f"{place['store_id']}/{place['till_id']}/{random.integers(1000)}-{number}",
            "taken_at": _moment(0) + timedelta(seconds=seconds),
            "transaction_id": f"t{random.integers(len(spans) + 2)}" if is_named else None,
        }
        days.add_photo(photo, None if random.random() < UNUSABLE_SHARE else int(random.integers(10, 90)))


def _queue(random: Generator) -> Iterator[tuple[int, int]]:
    """Yield spans that may touch but do not overlap."""
    borders = sorted(random.choice(TICKS, 2 * random.integers(1, 6), replace=False))
    borders = [int(border) for border in borders]
    touches = random.random() < 0.5
    return pairwise(borders) if touches else zip(borders[::2], borders[1::2], strict=True)


def _overlapping(random: Generator) -> Iterator[tuple[int, int]]:
    for _ in range(random.integers(0, 12)):
        opened, closed = sorted(int(tick) for tick in random.integers(0, TICKS, 2))
        yield opened, closed


def _photo_seconds(random: Generator) -> Iterator[float]:
    """Yield moments on the grid, moments just off it, and bursts."""
    for _ in range(random.integers(0, 8)):
        beside = random.choice([0, 0, 0, 1, -1, 1e-6, -1e-6, 4.5])
        seconds = TICK_SECONDS * int(random.integers(TICKS)) + float(beside)
        yield seconds
        for _ in range(random.choice([0, 0, 0, 2, 4])):
            seconds += float(random.choice([0, 1, 3, 3.000001, 5]))
            yield seconds


def _moment(tick: int) -> Any:
    return at("18:00:00") + timedelta(seconds=TICK_SECONDS * tick)
