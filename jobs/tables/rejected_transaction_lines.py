"""rejected_transaction_lines: the receipt lines of the day that break the landing contract, with the reason.

The task `transaction_lines` stages them, so that each file is read and judged once.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def rejected_transaction_lines(judged_lines: DataFrame) -> DataFrame:
    """Return the rejected lines of `judged_lines`, with their text as it was delivered."""
    rejected = judged_lines.where(~F.col("is_kept"))
    # A line that could not be parsed keeps its text; any other is written as JSON of its fields.
    return rejected.withColumn("landed_line", F.coalesce("unparsed_line", F.to_json("landed")))
