"""small_counts: how the page shows counts of buyers' ages when a minimum cell count is set.

age_group_purchases and age_group_affinity are already folded and rounded. Counts that the page computes from other
tables are rounded to a multiple of the minimum, as in age_group_affinity. So no difference of two numbers of the page
reveals a small count.
"""

from __future__ import annotations


def shown(count: float, minimum: int) -> float:
    """Return a count as the page may show it; with a minimum of 0 it is unchanged."""
    return round(count / minimum) * minimum if minimum else count
