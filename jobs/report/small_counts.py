"""small_counts: hides small counts of buyers' ages on the report page, if the setting minimum_cell_count is not 0.

The rows of age_group_purchases and age_group_affinity are already folded and rounded. Counts that the page computes
from other tables are rounded to a multiple of the minimum, as in age_group_affinity. So no difference of two numbers of
the page reveals a small count.
"""

from __future__ import annotations


def shown(count: float, minimum: int) -> float:
    """Round a count to a multiple of the minimum, so that the page may show it; a minimum of 0 changes nothing."""
    return round(count / minimum) * minimum if minimum else count
