"""age_cells: groups transactions with nearly the same age distribution into cells, which age_mix_estimation fits.

A cell represents its transactions by the mean of their distributions. So the time of a fit grows with the number of
cells, a few thousand, and not with the number of photos. Sums are over whole numbers, so the order of rows, partitions
and cores changes no digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from jobs.ages.age_columns import stacked
from jobs.ages.age_mix_estimation import cell_numbers
from jobs.ages.age_mix_fit import Floats, Integers
from models.serving.age_distribution import YEARS_OF_AGE

WHOLE = 2**32
"""Probabilities are summed as whole multiples of 2^-32: two billion transactions of a cell fit into 64 bits. A larger
number would overflow earlier.
"""
SUMS_TYPE = "cell bigint, transaction_count bigint, whole_distribution array<bigint>"


@dataclass(frozen=True)
class AgeCells:
    """The k cells of a day, in order of their numbers, with the count and mean age distribution of each."""

    number: Integers
    transaction_count: Floats
    distribution: Floats
    """(k, 101) mean distributions as stored, not yet corrected for any mix."""

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index in these cells of each cell number."""
        found: NDArray[np.int64] = np.searchsorted(self.number, numbers)
        return found


def age_cells(transaction_ages: DataFrame) -> AgeCells:
    """Collect the cells of all transactions with an age estimate to the driver: a few thousand rows for any day."""
    distributions = transaction_ages.where("age_distribution IS NOT NULL").select("age_distribution")
    partial_sums = distributions.mapInPandas(_partial_sums, SUMS_TYPE)
    # Sorted, because `AgeCells.rows` finds cells by binary search.
    sums = partial_sums.groupBy("cell").applyInPandas(_sum_of_cell, SUMS_TYPE).toPandas().sort_values("cell")
    counts = sums["transaction_count"].to_numpy(np.float64)
    distribution = stacked(sums["whole_distribution"]) / WHOLE / np.maximum(counts, 1)[:, None]
    return AgeCells(sums["cell"].to_numpy(np.int64), counts, distribution)


def _partial_sums(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Sum the transactions of a task by cell."""
    counts: dict[int, int] = {}
    sums: dict[int, NDArray[np.int64]] = {}
    for batch in batches:
        distributions = stacked(batch["age_distribution"])
        numbers, rows = np.unique(cell_numbers(distributions), return_inverse=True)
        batch_sums = np.zeros((len(numbers), YEARS_OF_AGE), dtype=np.int64)
        # add.at adds up several transactions of one cell; `+=` with an index would keep the last only.
        np.add.at(batch_sums, rows, np.rint(distributions * WHOLE).astype(np.int64))
        for number, count, total in zip(numbers.tolist(), np.bincount(rows).tolist(), batch_sums, strict=True):
            counts[number] = counts.get(number, 0) + count
            sums[number] = sums.get(number, 0) + total
    if counts:
        cells = {"cell": list(counts), "transaction_count": counts.values(), "whole_distribution": sums.values()}
        yield pd.DataFrame(cells)


def _sum_of_cell(partial_sums: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell": partial_sums["cell"].iloc[:1],
            "transaction_count": [partial_sums["transaction_count"].sum()],
            "whole_distribution": [np.stack(partial_sums["whole_distribution"].to_list()).sum(axis=0)],
        }
    )
