"""age_group_purchases: what each age group bought, by store and product category.

Plain columns count each buyer in the band of the point estimate; their sums are exact to the cent. Estimates err by
four to five years on average, so this band is often wrong. The estimated_ columns therefore spread each buyer over the
bands by probability, corrected for the ages of the category's buyers. Both kinds of columns add up to the tills' log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.ages.age_cells import AgeCells, age_cells
from jobs.ages.age_columns import age_cell
from jobs.ages.age_group_estimates import CellSums, Estimates, GroupEstimates, estimate_groups
from jobs.ages.age_groups import age_group_names
from jobs.ages.age_mix_estimation import ShiftCalibration, buyer_group_of, cell_likelihoods
from jobs.ages.shift_calibration import shift_calibration
from jobs.ages.small_cells import with_small_groups_folded
from jobs.schemas.buyers import AGE_GROUP_PURCHASES, AGE_MIXES, TRANSACTION_AGES, UNKNOWN
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

TRANSACTION = list(TRANSACTION_KEY)
KEY = list(AGE_GROUP_PURCHASES.key)
ROW = ["store_id", "product_category", "currency"]
PLAIN = ["transaction_count", "line_count", "quantity", "net_amount"]
COUNTED = ["transaction_count", "quantity", "net_amount"]
CELL_SUMS = ["transaction_count", "quantity", "squared_quantity", "net_amount", "squared_net_amount"]
ESTIMATED = [f"estimated_{name}" for name in COUNTED]
INTERVALS = [f"{name}_{end}" for name in ESTIMATED for end in ("low", "high")]
PURCHASES_TYPE = from_arrow_schema(AGE_GROUP_PURCHASES.schema)
ESTIMATES_TYPE = from_arrow_schema(AGE_GROUP_PURCHASES.schema_of([*KEY, *ESTIMATED, *INTERVALS]))


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(TRANSACTION_LINES, business_date)
    transaction_ages = warehouse.read(TRANSACTION_AGES, business_date)
    age_mixes = warehouse.read(AGE_MIXES, business_date)
    sums = cell_sums(transaction_lines, transaction_ages).persist()
    purchases = age_group_purchases(
        sums,
        age_mixes,
        age_cells(transaction_ages),
        shift_calibration(settings.model_version),
        settings.age_group_lower_bounds_years,
        settings.minimum_cell_count,
    )
    warehouse.stage(AGE_GROUP_PURCHASES, business_date, purchases)
    sums.unpersist()


def cell_sums(transaction_lines: DataFrame, transaction_ages: DataFrame) -> DataFrame:
    """Sum receipt lines by store, age group, product category, currency and cell.

    A cell is a group of buyers with nearly the same age distribution; it is null for buyers without an estimate.
    """
    ages = transaction_ages.select(*TRANSACTION, "age_group", age_cell(F.col("age_distribution")).alias("cell"))
    # Left join: no receipt line is lost, so that sums equal the log.
    lines = transaction_lines.join(ages, TRANSACTION, how="left").fillna(UNKNOWN, ["age_group"])
    # Sum by basket first: three lines of a category in one basket are one transaction, and squares are of its total.
    baskets = lines.groupBy(*TRANSACTION, "age_group", "product_category", "currency", "cell").agg(
        F.count(F.lit(1)).alias("line_count"), _sum("quantity"), _sum("net_amount")
    )
    return baskets.groupBy(*KEY, "cell").agg(
        F.count(F.lit(1)).alias("transaction_count"),
        *(_sum(name) for name in ("line_count", "quantity", "net_amount")),
        *(_sum_of_squares(name) for name in ("quantity", "net_amount")),
    )


def age_group_purchases(
    sums: DataFrame,
    age_mixes: DataFrame,
    cells: AgeCells,
    calibration: ShiftCalibration,
    lower_bounds_years: Sequence[int],
    minimum_cell_count: int,
) -> DataFrame:
    """Sum the rows of `cell_sums` by store, age group, product category and currency: by point estimate, and estimated.

    Buyers without an estimate are the group 'unknown', so sums over groups equal the tills' log. With a minimum cell
    count, small groups are folded into the group 'suppressed'.
    """
    plain = sums.groupBy(*KEY).agg(*(_sum(name) for name in PLAIN))
    estimated = _estimated(sums, age_mixes, _category_estimator(cells, calibration, lower_bounds_years))
    # Full join: a group may have no buyer by point estimate and a part of several by probability, and 'unknown' has no
    # estimate.
    purchases = plain.join(estimated, KEY, how="full").fillna(0, PLAIN).withColumns(_estimated_where_unknown())
    return with_small_groups_folded(purchases, ROW, [*PLAIN, *ESTIMATED], INTERVALS, minimum_cell_count)


def _estimated(
    sums: DataFrame, age_mixes: DataFrame, category_estimates: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
) -> DataFrame:
    """Return estimates for each store, age group, product category and currency that has a buyer with an estimate."""
    of_cells = sums.where("cell IS NOT NULL").select(*KEY, "cell", *(F.col(name).cast("double") for name in CELL_SUMS))
    mixes = age_mixes.where(F.col("circle") == "product_category").groupBy("product_category")
    return of_cells.groupBy("product_category").cogroup(mixes).applyInPandas(category_estimates, ESTIMATES_TYPE)


def _category_estimator(
    cells: AgeCells, calibration: ShiftCalibration, lower_bounds_years: Sequence[int]
) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """Return a function: cell sums and mix of a product category ► its estimates by store, currency and age group."""
    likelihoods = cell_likelihoods(cells.distribution, calibration)

    def category_estimates(sums: pd.DataFrame, mixes: pd.DataFrame) -> pd.DataFrame:
        # cogroup also calls this for a category that only age_mixes has.
        if sums.empty:
            return pd.DataFrame(columns=ESTIMATES_TYPE.names)
        sums = sums.sort_values([*ROW, "cell", "age_group"])
        rows = sums[ROW].drop_duplicates()
        numbers, cell = np.unique(sums["cell"], return_inverse=True)
        # A running count of first rows numbers the stores; it needs rows of a store and currency to lie together, as
        # sorted.
        store_index = np.cumsum(~sums.duplicated(ROW)) - 1
        sums_by_cell = CellSums(store_index, cell, *sums[CELL_SUMS].to_numpy().T)
        estimates = estimate_groups(
            likelihoods[:, cells.rows(numbers)],
            buyer_group_of(mixes.iloc[0]),
            sums_by_cell,
            len(rows),
            lower_bounds_years,
        )
        return _estimate_rows(rows, age_group_names(lower_bounds_years), estimates)

    return category_estimates


def _estimate_rows(rows: pd.DataFrame, age_groups: list[str], estimates: GroupEstimates) -> pd.DataFrame:
    """Return one row for each of the `rows` and each age group."""
    grid = rows.loc[rows.index.repeat(len(age_groups))].assign(age_group=age_groups * len(rows))
    for name in COUNTED:
        estimated: Estimates = getattr(estimates, name)
        grid[f"estimated_{name}"] = estimated.value.ravel()
        grid[f"estimated_{name}_low"] = estimated.low.ravel()
        grid[f"estimated_{name}_high"] = estimated.high.ravel()
    return grid[ESTIMATES_TYPE.names]


def _estimated_where_unknown() -> dict[str, Column]:
    """Use the plain numbers as estimate and interval of the group 'unknown', which is counted and not estimated."""
    counts = {f"estimated_{name}{end}": F.col(name) for name in COUNTED for end in ("", "_low", "_high")}
    is_unknown = F.col("age_group") == UNKNOWN
    return {name: F.when(is_unknown, count.cast("double")).otherwise(F.col(name)) for name, count in counts.items()}


def _sum(name: str) -> Column:
    return F.sum(name).cast(PURCHASES_TYPE[name].dataType).alias(name)


def _sum_of_squares(name: str) -> Column:
    """Sum squares as decimals, so that the order of rows does not matter."""
    return F.sum(F.pow(F.col(name).cast("double"), F.lit(2.0)).cast("decimal(38,4)")).alias(f"squared_{name}")
