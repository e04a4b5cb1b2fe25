"""purchases: receipts and money of each age group, counted by point estimate and estimated by probability.

age_group_purchases has intervals by store, and ends of intervals do not add up. So the variance of a category over all
stores is combined from two parts. The uncertainty about single buyers adds up over stores. The uncertainty about the
mix of the category's ages is common to all stores, and comes from the resampled shares of age_mixes:
total = Σ variance(store) + common · (1 - Σ share(store)²).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.ages.age_group_estimates import NORMAL_QUANTILE_95
from jobs.report.age_bands import in_order, sum_of_band
from jobs.report.day_tables import DayTables
from jobs.report.small_counts import shown
from jobs.schemas.buyers import SUPPRESSED, UNKNOWN

CATEGORIES_DRAWN = 8
CATEGORIES_LISTED = 60

BY_STORE = """
SELECT product_category, store_id, age_group, sum(transaction_count)::BIGINT AS point_count,
    sum(estimated_transaction_count) AS estimate,
    sum((greatest(estimated_transaction_count_high - estimated_transaction_count,
                  estimated_transaction_count - estimated_transaction_count_low) / $quantile) ** 2) AS variance,
    count_if(estimated_transaction_count_low IS NULL) AS folded_count
FROM age_group_purchases WHERE product_category IN (SELECT unnest($categories)) GROUP BY ALL
"""

SPENT = """
SELECT age_group, currency, sum(net_amount) AS net_amount, sum(estimated_net_amount) AS estimated_net_amount
FROM age_group_purchases GROUP BY ALL
"""

CATEGORIES = """
SELECT product_category, sum(transaction_count)::BIGINT AS transaction_count FROM age_group_purchases
GROUP BY ALL ORDER BY transaction_count DESC, product_category
"""


@dataclass(frozen=True)
class Bar:
    """A bar of a chart: an age group's receipts, by point estimate and estimated, with the 90 % interval if any."""

    age_group: str
    point_count: float
    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CategoryBars:
    """The receipts with one product category, by age group."""

    product_category: str
    transaction_count: int
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Purchases:
    """Receipts and money of all age groups on a day."""

    buyers: Sequence[Bar]
    """All receipts with an age estimate of the buyer, by age group."""
    spent: Sequence[Mapping[str, Any]]
    """Rows of age_group, currency, net_amount, estimated_net_amount, youngest first."""
    categories: Sequence[CategoryBars]
    """Categories with most receipts first."""
    category_count: int

    @property
    def drawn(self) -> Sequence[CategoryBars]:
        """The categories that get a chart."""
        return self.categories[:CATEGORIES_DRAWN]


def purchases(day: DayTables, minimum_cell_count: int) -> Purchases:
    """Return receipts and money by age group, and receipts by category and age group."""
    found = day.rows(CATEGORIES)
    listed = [row["product_category"] for row in found[:CATEGORIES_LISTED]]
    spent = day.rows(SPENT)
    order = in_order({row["age_group"] for row in spent})
    spent.sort(key=lambda row: (row["currency"] or "", order.index(row["age_group"])))
    by_store = day.rows(BY_STORE, categories=listed, quantile=NORMAL_QUANTILE_95)
    mixes = _mixes(day)
    categories = [
        CategoryBars(
            row["product_category"],
            row["transaction_count"],
            _category_bars([each for each in by_store if each["product_category"] == row["product_category"]], mixes),
        )
        for row in found[:CATEGORIES_LISTED]
    ]
    return Purchases(_buyers(day, mixes, minimum_cell_count), spent, categories, len(found))


Mixes = Mapping[tuple[str, str], Mapping[str, Any]]


def _mixes(day: DayTables) -> Mixes:
    return {(row["circle"], row["product_category"]): row for row in day.rows("FROM age_mixes")}


def _buyers(day: DayTables, mixes: Mixes, minimum_cell_count: int) -> list[Bar]:
    """Return all receipts by age group; the interval is what the mix of ages and the calibration leave open."""
    counted = {
        row["age_group"]: row["receipts"]
        for row in day.rows("SELECT age_group, count(*) AS receipts FROM transaction_ages GROUP BY ALL")
    }
    everyone = mixes.get(("all", ""))
    bands = {row["age_group"] for row in day.rows("SELECT DISTINCT age_group FROM age_group_affinity")}
    bars = []
    for name in in_order((bands | counted.keys()) - {UNKNOWN, SUPPRESSED}):
        estimate, deviation = 0.0, 0.0
        if everyone:
            estimate = everyone["transaction_count"] * float(
                sum_of_band(np.asarray(everyone["estimated_age_shares"], dtype=np.float64), name)
            )
            deviation = np.sqrt(_common_variance(everyone, name))
        margin = NORMAL_QUANTILE_95 * deviation
        bars.append(
            Bar(
                name,
                shown(counted.get(name, 0), minimum_cell_count),
                shown(estimate, minimum_cell_count),
                # Rounded as the counts are: an exact end would give the rounded count away.
                max(0.0, shown(estimate - margin, minimum_cell_count)),
                shown(estimate + margin, minimum_cell_count),
            )
        )
    return bars


def _category_bars(by_store: Sequence[Mapping[str, Any]], mixes: Mixes) -> list[Bar]:
    if not by_store:
        return []
    mix = mixes.get(("product_category", by_store[0]["product_category"]))
    of_store: dict[str, float] = {}
    for row in by_store:
        if row["age_group"] != UNKNOWN:
            of_store[row["store_id"]] = of_store.get(row["store_id"], 0.0) + (row["estimate"] or 0.0)
    known = sum(of_store.values())
    # A category sold in one store has all of the common variance in that store's interval already: the factor is 0.
    apart = 1 - sum((count / known) ** 2 for count in of_store.values()) if known else 0.0
    # Folded groups have no interval by store, so the sum has none either.
    has_interval = not any(row["folded_count"] for row in by_store)
    bars = []
    for name in in_order({row["age_group"] for row in by_store} - {UNKNOWN}):
        rows = [row for row in by_store if row["age_group"] == name]
        estimate = sum(row["estimate"] or 0.0 for row in rows)
        low = high = None
        if has_interval:
            common = _common_variance(mix, name) if mix else 0.0
            margin = NORMAL_QUANTILE_95 * np.sqrt(sum(row["variance"] for row in rows) + max(0.0, apart) * common)
            low, high = max(0.0, estimate - margin), min(known, estimate + margin)
        bars.append(Bar(name, sum(row["point_count"] for row in rows), estimate, low, high))
    return bars


def _common_variance(mix: Mapping[str, Any], age_group: str) -> float:
    """Return the variance of a circle's receipts of an age group, from its resampled shares."""
    shares = sum_of_band(np.asarray(mix["estimated_age_shares"], dtype=np.float64), age_group)
    others = sum_of_band(np.asarray(mix["resampled_age_shares"], dtype=np.float64), age_group)
    return float(np.mean((others - shares) ** 2)) * float(mix["transaction_count"]) ** 2
