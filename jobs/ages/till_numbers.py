"""till_numbers: numbers that settings give by till, as a column of rows that name store and till."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F


def number_of_till(by_till: Mapping[str, float], otherwise: float) -> Column:
    """Return the number of each row's till, `otherwise` for tills without one; keys are as 0042/03."""
    if not by_till:
        return F.lit(otherwise)
    numbers = F.create_map(*(F.lit(part) for pair in by_till.items() for part in pair))
    return F.coalesce(numbers[F.concat_ws("/", "store_id", "till_id")], F.lit(otherwise))
