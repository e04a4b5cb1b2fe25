"""small_cells: counts of few buyers are not published, and not to be had by taking one number from another.

Off at a minimum of 0. Age groups that are too few are folded together, so that totals stay exact; counts over all
stores are rounded, since exact ones less those of single stores would give the folded ones away.
"""

from __future__ import annotations

import numpy as np
from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from jobs.ages.age_mix_fit import Floats
from jobs.schemas.buyers import SUPPRESSED

FEWEST_FOLDED = 2


def with_small_groups_folded(
    purchases: DataFrame, row: list[str], additive: list[str], intervals: list[str], minimum_count: int
) -> DataFrame:
    """Fold the age groups of a `row` with fewer transactions than the minimum into the group 'suppressed'.

    A group is small by its plain or its estimated count. At least two groups are folded, the smallest first, until they
    hold the minimum together or none is left. `additive` columns are summed, `intervals` of what is folded are null,
    and `suppression_reason` says so.
    """
    if minimum_count == 0:
        return purchases.withColumn("suppression_reason", F.lit(None).cast("string"))
    reason = f"age groups with fewer than {minimum_count} transactions, and the next smallest, counted together"
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
        (is_folded & is_followed).alias("is_counted_later"),
    )
    return folded.where(~F.col("is_counted_later")).drop("is_counted_later")


def rounded(counts: Floats, minimum_count: int) -> Floats:
    """Round counts to a multiple of the minimum; a minimum of 0 leaves them as they are."""
    if minimum_count == 0:
        return counts
    multiples: Floats = np.rint(counts / minimum_count) * minimum_count
    return multiples


def _sum_where(is_folded: Column, name: str, so_far: WindowSpec) -> Column:
    return F.when(is_folded, F.sum(name).over(so_far)).otherwise(F.col(name))


def _is_folded(row: list[str], minimum_count: int) -> Column:
    """Mark the smallest groups of a row, if one is small: so many that they hold two groups and the minimum."""
    whole_row = Window.partitionBy(*row)
    smaller = whole_row.orderBy("size", "age_group").rowsBetween(Window.unboundedPreceding, -1)
    has_small_group = F.min("size").over(whole_row) < minimum_count
    is_small = F.col("size") < minimum_count
    are_few = F.count("size").over(smaller) < FEWEST_FOLDED
    hold_too_little = F.coalesce(F.sum("size").over(smaller), F.lit(0.0)) < minimum_count
    return has_small_group & (is_small | are_few | hold_too_little)
