"""affinities: which product categories each age group buys more or less often than all buyers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.ages.age_group_estimates import affinity, group_sums
from jobs.ages.age_mix_estimation import BuyerGroupMix
from jobs.report.age_bands import first_year, in_order
from jobs.report.day_tables import DayTables

CATEGORIES_SHOWN = 30
ALL_ALCOHOL = ""
"""Name of the row for all alcohol; no category has an empty name."""
STEPS = ((0.5, "less-3"), (0.7, "less-2"), (0.9, "less-1"), (1.1, "even"), (1.4, "more-1"), (2.0, "more-2"))
"""Upper bounds of an index, each with the style class of a cell below it."""


@dataclass(frozen=True)
class Cell:
    """The affinity index of one age group and product category. If there is no index, `reason` says why."""

    age_group: str
    index: float | None
    low: float | None
    high: float | None
    reason: str | None

    @property
    def is_sure(self) -> bool:
        """Whether the whole interval of the index is on one side of 1."""
        return self.low is not None and self.high is not None and (self.low > 1 or self.high < 1)

    @property
    def is_over(self) -> bool:
        """Whether the whole interval of the index is above 1."""
        return self.low is not None and self.low > 1

    @property
    def shade(self) -> str:
        """The CSS class that colours the cell."""
        if self.index is None:
            return "none"
        index = self.index
        return next((shade for bound, shade in STEPS if index < bound), "more-3")


@dataclass(frozen=True)
class CategoryRow:
    """A row of the heat map: a product category, its number of receipts, and one cell per age group."""

    product_category: str
    transaction_count: int
    cells: Sequence[Cell]

    @property
    def most(self) -> Cell | None:
        """The cell with the highest index of the category, even if it is not sure; None if no cell has an index."""
        return max(
            (cell for cell in self.cells if cell.index is not None), key=lambda cell: cell.index or 0, default=None
        )


@dataclass(frozen=True)
class Affinities:
    """The heat map of affinities: rows in order of their receipts, and the cells that are surely above 1."""

    age_groups: Sequence[str]
    rows: Sequence[CategoryRow]
    category_count: int
    sure: Sequence[tuple[CategoryRow, Cell]]
    """Cells of all categories with an interval above 1, the highest index first."""


def affinities(day: DayTables, minimum_transaction_count: int, minimum_cell_count: int) -> Affinities:
    """Return the rows of the categories: all alcohol first, categories without any index last."""
    found = day.rows("FROM age_group_affinity")
    age_groups = in_order({row["age_group"] for row in found})
    by_category: dict[str, list[Mapping[str, Any]]] = {}
    for row in found:
        by_category.setdefault(row["product_category"], []).append(row)
    rows = [_category_row(name, of_category, age_groups) for name, of_category in by_category.items()]
    rows.sort(key=lambda row: (row.most is None, -row.transaction_count, row.product_category))
    sure = [(row, cell) for row in rows for cell in row.cells if cell.is_over]
    sure.sort(key=lambda pair: -(pair[1].index or 0))
    # Its counts are not rounded to a minimum, so where one is set it is left out.
    all_alcohol = [] if minimum_cell_count else _all_alcohol(day, age_groups, minimum_transaction_count)
    shown = [*all_alcohol, *rows[:CATEGORIES_SHOWN]]
    return Affinities(age_groups, shown, len(rows), sure)


def _all_alcohol(day: DayTables, age_groups: Sequence[str], minimum_transaction_count: int) -> list[CategoryRow]:
    """Return the row for all alcohol, which the table does not have; no row without an estimate of their ages."""
    mixes = day.rows("FROM age_mixes WHERE circle IN ('all', 'alcohol')")
    buyer_groups = {row["circle"]: _buyer_group(row) for row in mixes}
    if len(buyer_groups) < 2:
        return []
    everyone, buyers = buyer_groups["all"], buyer_groups["alcohol"]
    bounds = [first_year(name) or 0 for name in age_groups]
    index = affinity(buyers, everyone, bounds)
    of_group = group_sums(everyone.shares, bounds) * everyone.transaction_count
    cells = [
        Cell(name, float(value), float(low), float(high), None)
        if min(count, buyers.transaction_count) >= minimum_transaction_count
        else Cell(name, None, None, None, f"fewer than {minimum_transaction_count} transactions")
        for name, count, value, low, high in zip(age_groups, of_group, index.value, index.low, index.high, strict=True)
    ]
    return [CategoryRow(ALL_ALCOHOL, buyers.transaction_count, cells)]


def _buyer_group(row: Mapping[str, Any]) -> BuyerGroupMix:
    shares, resampled = (np.asarray(row[f"{kind}_age_shares"], dtype=np.float64) for kind in ("estimated", "resampled"))
    # An index needs the shares only; they also fill the places of the mixes, which are not read.
    return BuyerGroupMix(row["transaction_count"], shares, shares, resampled, resampled)


def _category_row(name: str, rows: Sequence[Mapping[str, Any]], age_groups: Sequence[str]) -> CategoryRow:
    cells = [
        Cell(
            row["age_group"],
            row["affinity_index"],
            row["affinity_index_low"],
            row["affinity_index_high"],
            row["affinity_reason"],
        )
        for row in sorted(rows, key=lambda row: age_groups.index(row["age_group"]))
    ]
    return CategoryRow(name, rows[0]["transaction_count"] or 0, cells)
