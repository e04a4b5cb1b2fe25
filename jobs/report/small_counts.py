"""small_counts: what the page shows of counts of buyers' ages where a minimum cell count is set.

age_group_purchases and age_group_affinity come folded and rounded already. Counts that the page itself makes from other
tables are rounded to a multiple of the minimum, as those of age_group_affinity are, so that no difference of two
numbers of the page gives a small one away.
"""

from __future__ import annotations


def shown(count: float, minimum: int) -> float:
    """Return a count as the page may show it; a minimum of 0 leaves it as it is."""
    return round(count / minimum) * minimum if minimum else count
