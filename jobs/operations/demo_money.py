"""demo_money: what each age group of a sample day bought: the truth, and next to it what the tables estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np

from jobs.ages.age_group_estimates import CellSums, estimate_groups
from jobs.ages.age_mix_estimation import buyer_group_of, cell_likelihoods, cell_numbers
from jobs.ages.shift_calibration import shift_calibration
from jobs.schemas.buyers import UNKNOWN
from jobs.settings import Settings

LOWER_BOUNDS_YEARS: tuple[int, ...] = Settings.model_fields["age_group_lower_bounds_years"].default
GROUPS = [f"{low}-{above - 1}" for low, above in pairwise(LOWER_BOUNDS_YEARS)] + [f"{LOWER_BOUNDS_YEARS[-1]}+"]

MONEY_QUERY = """
WITH bought_for AS (
    SELECT store_id, till_id, transaction_id, sum(net_amount) AS net_amount FROM transaction_lines GROUP BY ALL
), by_true_age AS (
    SELECT CASE WHEN age_group = '{unknown}' THEN age_group {true_bands} END AS age_group,
        sum(net_amount) AS true_amount
    FROM bought_for JOIN transaction_ages USING (store_id, till_id, transaction_id)
    JOIN read_csv({truth}, all_varchar = true) AS truth USING (store_id, till_id, transaction_id)
    WHERE kind = 'transaction' GROUP BY ALL
), by_estimate AS (
    SELECT age_group, sum(net_amount) AS plain, sum(estimated_net_amount) AS corrected
    FROM age_group_purchases GROUP BY ALL
)
SELECT age_group, coalesce(true_amount, 0), coalesce(plain, 0), coalesce(corrected, 0)
FROM by_true_age FULL JOIN by_estimate USING (age_group) ORDER BY age_group"""
"""Buyers without an estimate are 'unknown' in each column, so that the columns tell of the same buyers."""

AMOUNTS_QUERY = """
SELECT age_distribution, net_amount, model_version FROM transaction_ages JOIN (
    SELECT store_id, till_id, transaction_id, sum(net_amount)::DOUBLE AS net_amount FROM transaction_lines GROUP BY ALL
) USING (store_id, till_id, transaction_id)
WHERE age_distribution IS NOT NULL ORDER BY store_id, till_id, transaction_id"""

MIX_QUERY = "FROM age_mixes WHERE circle = 'all'"


@dataclass(frozen=True)
class GroupMoney:
    """The money of an age group: by true age, by point estimates, corrected, and half the width of the interval."""

    age_group: str
    true: float
    plain: float
    corrected: float
    margin: float | None = None
    """None for buyers without an estimate, whose money is known."""

    @property
    def is_nearer(self) -> bool:
        """Whether the corrected amount is nearer to the truth than that of point estimates."""
        return abs(self.corrected - self.true) < abs(self.plain - self.true)

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.margin is not None and abs(self.corrected - self.true) <= self.margin

    def in_words(self) -> tuple[str, ...]:
        """Return the cells of a row: group, truth, point estimates, corrected, its interval, and which is nearer."""
        amounts = (f"{amount:,.2f}" for amount in (self.true, self.plain, self.corrected))
        if self.margin is None:
            return self.age_group, *amounts, "", ""
        interval = f"{self.corrected - self.margin:,.0f} to {self.corrected + self.margin:,.0f}"
        return self.age_group, *amounts, interval, "corrected" if self.is_nearer else "point estimates"


HEADINGS = ("age group", "by true age", "by point estimate", "corrected", "90 % interval", "nearer")


def money_of_groups(connection: duckdb.DuckDBPyConnection, truth: Path) -> list[GroupMoney]:
    """Return the money of each age group of a catalogue with one day, by age, and then that of unknown buyers."""
    margins = _margins(connection)
    rows = connection.sql(money_query(f"'{truth}'")).fetchall()
    return [GroupMoney(row[0], float(row[1]), float(row[2]), float(row[3]), margins.get(row[0])) for row in rows]


def money_in_words(rows: Sequence[GroupMoney]) -> str:
    """Say how much money is in the wrong age group, which estimate is nearer, and how many intervals hold the truth."""
    known = [row for row in rows if row.age_group != UNKNOWN]
    total = sum(row.true for row in known)
    plain, corrected = (
        sum(abs(getattr(row, name) - row.true) for row in known) / 2 / total for name in ("plain", "corrected")
    )
    return (
        f"To match the true column, {corrected:.0%} of the money of buyers with an estimate would have to move to "
        f"another age group in the corrected column, and {plain:.0%} in the column of point estimates. The corrected "
        f"amount is the nearer one in {sum(row.is_nearer for row in known)} of {len(known)} age groups; "
        f"{sum(row.holds for row in known)} of {len(known)} intervals hold the truth."
    )


def money_query(truth: str) -> str:
    """Return the SQL query of the amounts. `truth` is the file of true ages, as an SQL string."""
    bounds = [*LOWER_BOUNDS_YEARS, None]
    bands = [
        f"WHEN true_age_years::INT < {above} THEN '{low}-{above - 1}'" if above else f"ELSE '{low}+'"
        for low, above in pairwise(bounds)
    ]
    return MONEY_QUERY.format(unknown=UNKNOWN, true_bands=" ".join(bands), truth=truth)


def _margins(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Return half the width of the 90 % interval of each group's money; empty without buyers with an estimate.

    The table's intervals are those of stores and categories, whose ends do not add up. So the same estimate is made
    once for all that was bought.
    """
    mixes = connection.sql(MIX_QUERY).df()
    amounts = connection.sql(AMOUNTS_QUERY).df()
    if mixes.empty or amounts.empty:
        return {}
    distributions = np.stack(amounts["age_distribution"].to_list()).astype(np.float64)
    numbers, cell = np.unique(cell_numbers(distributions), return_inverse=True)
    money = amounts["net_amount"].to_numpy(np.float64)
    counts, spent, squared = (
        np.bincount(cell, weights, len(numbers)).astype(np.float64) for weights in (np.ones(len(cell)), money, money**2)
    )
    means = np.zeros((len(numbers), distributions.shape[1]))
    np.add.at(means, cell, distributions)
    likelihoods = cell_likelihoods(means / counts[:, None], shift_calibration(amounts["model_version"].iloc[0]))
    row = np.arange(len(numbers))
    sums = CellSums(np.zeros_like(row), row, counts, counts, counts, spent, squared)
    estimated = estimate_groups(likelihoods, buyer_group_of(mixes.iloc[0]), sums, 1, LOWER_BOUNDS_YEARS).net_amount
    return dict(zip(GROUPS, (estimated.high - estimated.value)[0].tolist(), strict=True))
