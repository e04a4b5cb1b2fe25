"""age_group_purchases: what each age group bought, by store and product category."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import tables
from jobs.age_groups import UNKNOWN
from jobs.settings import Settings
from jobs.warehouse import Warehouse

KEY = list(tables.TRANSACTION_KEY)


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    transaction_lines = warehouse.read(tables.TRANSACTION_LINES, business_date)
    transaction_ages = warehouse.read(tables.TRANSACTION_AGES, business_date)
    purchases = age_group_purchases(transaction_lines, transaction_ages)
    purchases = purchases.withColumn("model_version", F.lit(settings.model_version))
    warehouse.stage(tables.AGE_GROUP_PURCHASES, business_date, purchases)


def age_group_purchases(transaction_lines: DataFrame, transaction_ages: DataFrame) -> DataFrame:
    """Sum receipt lines by store, age group, product category and currency.

    Every line counts once: buyers without an estimate are the group 'unknown', so sums over groups equal the log.
    """
    age_groups = transaction_ages.select(*KEY, "age_group")
    lines = transaction_lines.join(age_groups, KEY, how="left").fillna(UNKNOWN, ["age_group"])
    return lines.groupBy(*tables.AGE_GROUP_PURCHASES.key).agg(
        F.countDistinct("till_id", "transaction_id").alias("transaction_count"),
        F.count(F.lit(1)).alias("line_count"),
        F.sum("quantity").alias("quantity"),
        F.sum("net_amount").alias("net_amount"),
    )
