"""small_cells: hides small counts of buyers, so that no difference of published numbers reveals them either.

A minimum of 0 turns this off. Age groups with too few transactions are folded together, so totals stay exact. Counts
over all stores are rounded: subtracting the counts of single stores from exact ones would reveal the folded groups.
"""

from __future__ import annotations

import numpy as np
from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from jobs.ages.age_mix_fit import Floats
from jobs.schemas.buyers import SUPPRESSED

FEWEST_FOLDED = 2
"""A single folded group would be published after all, under another name."""


def with_small_groups_folded(
    purchases: DataFrame, row: list[str], additive: list[str], intervals: list[str], minimum_count: int
) -> DataFrame:
    """Fold age groups with fewer transactions than the minimum into the group 'suppressed'.

    `row` names columns, such as store and category; the groups of each combination of their values are folded
    separately. A group is small if its plain or its estimated count is. Then the next smallest groups are folded too,
    until at least two are folded and hold the minimum together, or none is left. `additive` columns are summed. For the
    folded group the `intervals` are null, and `suppression_reason` says why.
    """
    if minimum_count == 0:
        return purchases.withColumn("suppression_reason", F.lit(None).cast("string"))
    reason = f"age groups with fewer than {minimum_count} transactions, and the next smallest, counted together"
    # age_group breaks ties, so that every run folds the same groups.
    smallest_first = Window.partitionBy(*row).orderBy("size", "age_group")
    so_far = smallest_first.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    sized = purchases.withColumn("size", F.least("transaction_count", "estimated_transaction_count"))
    marked = sized.withColumn("is_folded", _is_folded(row, minimum_count))
    is_folded, is_followed = F.col("is_folded"), F.coalesce(F.lead("is_folded").over(smallest_first), F.lit(False))
    folded = marked.select(
        *row,
        F.when(is_folded, SUPPRESSED).otherwise(F.col("age_group")).alias("age_group"),
        *(_sum_where(is_folded, name, so_far).cast(purchases.schema[name].dataType).alias(name) for name in additive),
        *(F.when(~is_folded, F.col(name)).alias(name) for name in intervals),
        F.when(is_folded, reason).alias("suppression_reason"),
        # Sums run from the smallest group on, so the last folded group has the sum of all. Only its row is kept.
        (is_folded & is_followed).alias("is_counted_later"),
    )
    return folded.where(~F.col("is_counted_later")).drop("is_counted_later")


def rounded(counts: Floats, minimum_count: int) -> Floats:
    """Round a column of counts to multiples of the minimum; a minimum of 0 leaves them as they are."""
    if minimum_count == 0:
        return counts
    multiples: Floats = np.rint(counts / minimum_count) * minimum_count
    return multiples


def _sum_where(is_folded: Column, name: str, so_far: WindowSpec) -> Column:
    return F.when(is_folded, F.sum(name).over(so_far)).otherwise(F.col(name))


def _is_folded(row: list[str], minimum_count: int) -> Column:
    """Mark the groups to fold in a row that has a small one: the small ones, then the next smallest."""
    whole_row = Window.partitionBy(*row)
    smaller = whole_row.orderBy("size", "age_group").rowsBetween(Window.unboundedPreceding, -1)
    has_small_group = F.min("size").over(whole_row) < minimum_count
    is_small = F.col("size") < minimum_count
    are_few = F.count("size").over(smaller) < FEWEST_FOLDED
    # The smallest group has nothing before it: its sum is null, and counts as 0.
    hold_too_little = F.coalesce(F.sum("size").over(smaller), F.lit(0.0)) < minimum_count
    return has_small_group & (is_small | are_few | hold_too_little)
