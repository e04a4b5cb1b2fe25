"""age_group_affinity: how much more or less often each age group buys a product category than all buyers do.

It shows what to offer to whom. An index of 2 means that the category is in twice as large a share of the group's
transactions as of all transactions. The ages of buyers are estimated, so the index has an interval. With few
transactions there is no index.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.ages.age_group_estimates import Estimates, affinity, group_sums
from jobs.ages.age_groups import age_group_names
from jobs.ages.age_mix_estimation import BuyerGroupMix, buyer_group_of
from jobs.ages.age_mix_fit import Floats
from jobs.ages.small_cells import rounded
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_MIXES
from jobs.schemas.table import MODEL_VERSION, RUN_ID
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

AFFINITY_SCHEMA = pa.schema([field for field in AGE_GROUP_AFFINITY.columns if field not in (MODEL_VERSION, RUN_ID)])
INDEX = ["affinity_index", "affinity_index_low", "affinity_index_high"]


@dataclass(frozen=True)
class AffinityLimits:
    """The age groups, and the numbers of transactions below which nothing is shown; the settings of the same names."""

    age_group_lower_bounds_years: tuple[int, ...]
    minimum_cell_count: int
    minimum_affinity_transaction_count: int


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    # One row per product category, so a few hundred: they fit into memory whatever the day holds.
    age_mixes = warehouse.staging.read_arrow(AGE_MIXES, business_date, AGE_MIXES.column_names)
    affinities = age_group_affinity(age_mixes, settings.part(AffinityLimits))
    warehouse.stage_arrow(AGE_GROUP_AFFINITY, business_date, affinities)


def age_group_affinity(age_mixes: pa.Table, limits: AffinityLimits) -> pa.Table:
    """Compare each age group's share of transactions with a product category to the share of all buyers.

    Only buyers with an estimate count.
    """
    everyone = age_mixes.filter(pc.field("circle") == "all").to_pandas()
    # age_mixes has a row for all buyers only if at least one buyer has an estimate.
    if everyone.empty:
        return AFFINITY_SCHEMA.empty_table()
    all_buyers = buyer_group_of(everyone.iloc[0])
    categories = age_mixes.filter(pc.field("circle") == "product_category").to_pandas()
    compared = [
        _compared(buyer_group_of(mix), all_buyers, limits).assign(product_category=mix["product_category"])
        for _, mix in categories.iterrows()
    ]
    rows = [pa.Table.from_pandas(each, AFFINITY_SCHEMA, preserve_index=False) for each in compared]
    return pa.concat_tables([AFFINITY_SCHEMA.empty_table(), *rows])


def _compared(category: BuyerGroupMix, everyone: BuyerGroupMix, limits: AffinityLimits) -> pd.DataFrame:
    """Return one row per age group; shares and index are computed from the counts as shown, that is rounded."""
    bounds, minimum = limits.age_group_lower_bounds_years, limits.minimum_cell_count
    of_group, of_both = (
        group_sums(circle.shares, bounds) * circle.transaction_count for circle in (everyone, category)
    )
    of_category, of_all = (np.full(len(bounds), float(circle.transaction_count)) for circle in (category, everyone))
    # Both counts are estimates of their own, so neither of them bounds the other.
    is_shown = np.minimum(of_group, of_both) >= minimum
    shown = pd.DataFrame(
        {
            "age_group": age_group_names(bounds),
            "estimated_group_transaction_count": rounded(of_group, minimum),
            "estimated_category_transaction_count": np.where(is_shown, rounded(of_both, minimum), np.nan),
            "transaction_count": rounded(of_category, minimum),
            "affinity_reason": _reasons(of_group, of_category, is_shown, limits),
        }
    )
    group_count, count = shown["estimated_group_transaction_count"], shown["transaction_count"]
    # A group of 0 has no share: null instead of a division by 0.
    shown["estimated_group_share"] = shown["estimated_category_transaction_count"] / group_count.where(group_count > 0)
    shown["all_buyers_share"] = count / rounded(of_all, minimum)
    return shown.join(_index(shown, affinity(category, everyone, bounds)))


def _index(shown: pd.DataFrame, estimates: Estimates) -> pd.DataFrame:
    """Return the index of the shares shown, with an interval of the same relative width as before rounding."""
    index = shown["estimated_group_share"] / shown["all_buyers_share"].where(shown["all_buyers_share"] > 0)
    index = index.where(shown["affinity_reason"].isna())
    # The floor avoids a division by 0; the interval scales with what rounding did to the value.
    scale: pd.Series = index / np.maximum(estimates.value, 1e-12)
    return pd.DataFrame(dict(zip(INDEX, (index, scale * estimates.low, scale * estimates.high), strict=True)))


def _reasons(
    of_group: Floats, of_category: Floats, is_shown: NDArray[np.bool_], limits: AffinityLimits
) -> list[str | None]:
    """Say for each age group why it has no index."""
    minimum = limits.minimum_affinity_transaction_count
    # The order matters: the first reason that holds is given, and the one that protects few buyers comes first.
    reasons = {
        f"fewer than {limits.minimum_cell_count} transactions of the age group with the category": ~is_shown,
        f"fewer than {minimum} transactions with the category": of_category < minimum,
        f"fewer than {minimum} transactions of the age group": of_group < minimum,
    }
    return [next((words for words, holds in reasons.items() if holds[group]), None) for group in range(len(of_group))]
