"""backfill_options: how a backfill is asked for: its days, their chunks, and what to do with days already published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from jobs.errors import InputError

Published = Literal["skip", "restate", "fail"]


@dataclass(frozen=True)
class BackfillOptions:
    """How a backfill treats days that another run has published, and how many days one Spark application builds."""

    published: Published = "skip"
    days_per_application: int = 28


def days_between(first: date, last: date) -> list[date]:
    """Return all days from first to last. Raises InputError when first is after last."""
    if first > last:
        raise InputError(f"--from {first} lies after --to {last}; name the earlier day first")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def chunks(days: Sequence[date], size: int) -> list[Sequence[date]]:
    """Cut days into chunks of at most `size`. Raises InputError when a chunk would hold no day."""
    if size < 1:
        raise InputError(f"--days-per-application is {size}; at least 1 day is built by an application")
    return [days[start : start + size] for start in range(0, len(days), size)]
