"""judged_lines: judged receipt lines."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.landing.business_day import BusinessDay
from jobs.landing.judged_lines import judged_lines
from tests.given.landed_lines import DAY, landed_batch


def judged(spark: SparkSession, *lines: dict[str, Any], day: BusinessDay = DAY) -> DataFrame:
    import pyarrow as pa

    return judged_lines(spark.createDataFrame(pa.Table.from_batches([landed_batch(*lines)])), day)
