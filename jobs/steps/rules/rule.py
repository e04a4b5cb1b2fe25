"""rule: what a rule of check_night is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rule:
    """A sentence that holds on a sound night, and the query that looks whether it does.

    The query's first column is a sentence for each thing that is wrong. A rule that judges one figure returns one row:
    that sentence, or null while the rule holds, `measured_value`, `limit_value`, and `not_run_reason` where it may have
    one. `$name` is a setting of that name, or business_date, day_begins_at or day_ends_at.

    A rule with `judges_delivery` only warns where erase or rescore builds a day again: its receipts were published
    before, and a refusal would keep a person in the tables.
    """

    name: str
    severity: Literal["fail", "warn"]
    query: str
    judges_delivery: bool = False
