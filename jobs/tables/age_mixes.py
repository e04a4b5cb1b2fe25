"""age_mixes: the shares of ages among the day's buyers: all buyers, buyers of alcohol, and buyers of each category.

Estimates of single buyers are corrected with these mixes of ages. Each product category has a mix of its own, because
a photo does not show the basket: with one mix for everyone, each category would be drawn towards the average buyer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.ages.age_cells import AgeCells, age_cells
from jobs.ages.age_columns import age_cell
from jobs.ages.age_mix_estimation import (
    BuyerGroupMix,
    ShiftCalibration,
    buyer_group_mix,
    cell_likelihoods,
    columns_of,
    seeded,
)
from jobs.ages.age_mix_fit import Floats
from jobs.ages.shift_calibration import shift_calibration
from jobs.schemas.buyers import AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

KEY = list(TRANSACTION_KEY)
BUYER_GROUP = list(AGE_MIXES.key)
ALL, ALCOHOL, PRODUCT_CATEGORY = "all", "alcohol", "product_category"


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(TRANSACTION_LINES, business_date)
    transaction_ages = warehouse.read(TRANSACTION_AGES, business_date)
    calibration = shift_calibration(settings.model_version)
    mixes = age_mixes(transaction_lines, transaction_ages, calibration, business_date)
    warehouse.stage(AGE_MIXES, business_date, mixes)


def age_mixes(
    transaction_lines: DataFrame, transaction_ages: DataFrame, calibration: ShiftCalibration, business_date: date
) -> DataFrame:
    """Fit the mix of ages of each group of buyers that has a transaction with an estimate.

    The mixes of alcohol and of each product category are drawn towards the mix of all buyers. The fewer buyers a group
    has, the stronger the draw.
    """
    cells = age_cells(transaction_ages)
    likelihoods = cell_likelihoods(cells.distribution, calibration)
    everyone = buyer_group_mix(likelihoods, cells.transaction_count, calibration, seeded(business_date, ALL))
    buyer_group_row = _buyer_group_fitter(cells, likelihoods, everyone, calibration, business_date)
    mix_type = from_arrow_schema(AGE_MIXES.schema_without("model_version", "run_id"))
    mixes = (
        _buyer_group_cells(transaction_lines, transaction_ages)
        .groupBy(*BUYER_GROUP)
        .applyInPandas(buyer_group_row, mix_type)
    )
    of_all = [_mix_row(ALL, "", everyone)] if everyone.transaction_count else []
    return mixes.unionByName(transaction_ages.sparkSession.createDataFrame(of_all, mix_type))


def _buyer_group_cells(transaction_lines: DataFrame, transaction_ages: DataFrame) -> DataFrame:
    """Return one row per group of buyers and cell: how many of the group's transactions fall into the cell."""
    is_alcohol_sale = F.col("is_alcohol") & (F.col("line_type") == "sale")
    # Each line belongs to the group of its category, and an alcohol sale to the group 'alcohol' too.
    buyer_groups = F.array_compact(
        F.array(
            F.struct(F.lit(PRODUCT_CATEGORY).alias("circle"), "product_category"),
            F.when(is_alcohol_sale, F.struct(F.lit(ALCOHOL).alias("circle"), F.lit("").alias("product_category"))),
        )
    )
    # A transaction counts once per group, however many of its lines belong to it.
    buyers = transaction_lines.select(*KEY, F.inline(buyer_groups)).distinct()
    cells = transaction_ages.where("age_distribution IS NOT NULL").select(
        *KEY, age_cell(F.col("age_distribution")).alias("cell")
    )
    # Inner join: a buyer without an estimate says nothing about ages.
    return buyers.join(cells, KEY, how="inner").groupBy(*BUYER_GROUP, "cell").count()


def _buyer_group_fitter(
    cells: AgeCells, likelihoods: Floats, everyone: BuyerGroupMix, calibration: ShiftCalibration, business_date: date
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a function: the cells of a group of buyers ► its row of age_mixes."""

    def buyer_group_row(group_cells: pd.DataFrame) -> pd.DataFrame:
        # Spark does not fix the order of rows. Sorted, the sums of floats are the same in every run.
        group_cells = group_cells.sort_values("cell")
        buyer_group, product_category = group_cells[BUYER_GROUP].iloc[0]
        mix = buyer_group_mix(
            likelihoods[:, cells.rows(group_cells["cell"].to_numpy(np.int64))],
            group_cells["count"].to_numpy(np.float64),
            calibration,
            seeded(business_date, f"{buyer_group} {product_category}"),
            everyone,
        )
        return pd.DataFrame([_mix_row(buyer_group, product_category, mix)])

    return buyer_group_row


def _mix_row(buyer_group: str, product_category: str, mix: BuyerGroupMix) -> dict[str, object]:
    return {"circle": buyer_group, "product_category": product_category} | columns_of(mix)
