from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.ages.small_cells import rounded, with_small_groups_folded
from jobs.schemas.buyers import SUPPRESSED

ROW = ["store_id", "product_category"]
ADDITIVE = ["transaction_count", "net_amount", "estimated_transaction_count"]
TYPE = (
    "store_id string, product_category string, age_group string, transaction_count bigint, net_amount decimal(28,2), "
    "estimated_transaction_count double, estimated_transaction_count_low double"
)
COUNTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), min_size=1, max_size=8)
Rows = list[dict[str, Any]]


def row_of_groups(number: int, counts: list[tuple[int, int]]) -> Rows:
    """The age groups of a store and category; estimates are in quarters of a transaction, so that sums are exact."""
    return [
        {
            **{"store_id": f"{number:04}", "product_category": "MILK", "age_group": f"{10 * group}-{10 * group + 9}"},
            **{"transaction_count": count, "net_amount": None, "estimated_transaction_count": quarters / 4},
            "estimated_transaction_count_low": 0.0,
        }
        for group, (count, quarters) in enumerate(counts)
    ]


def folded(spark: SparkSession, rows: Rows, minimum: int) -> Rows:
    purchases = spark.createDataFrame(rows, TYPE).repartition(2)
    found = with_small_groups_folded(purchases, ROW, ADDITIVE, ["estimated_transaction_count_low"], minimum)
    return [row.asDict() for row in found.orderBy(*ROW, "age_group").collect()]


def by_row(rows: Rows) -> Iterator[Rows]:
    return (list(groups) for _, groups in groupby(rows, key=lambda row: [row[name] for name in ROW]))


@hypothesis_settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(COUNTS, min_size=100, max_size=100), minimum=st.integers(1, 8))
def test_what_is_published_holds_the_minimum_and_is_not_to_be_had_by_one_subtraction(
    spark: SparkSession, drawn: list[list[tuple[int, int]]], minimum: int
) -> None:
    rows = [row for number, counts in enumerate(drawn) for row in row_of_groups(number, counts)]
    published = folded(spark, rows, minimum)
    for before, after in zip(by_row(rows), by_row(published), strict=True):
        for name in ("transaction_count", "estimated_transaction_count"):
            assert sum(row[name] for row in after) == sum(row[name] for row in before)
            assert len(after) == 1 or min(row[name] for row in after) >= minimum
        hidden = len(before) - sum(row["age_group"] != SUPPRESSED for row in after)
        is_one_small_group = len(before) == 1 and size(before[0]) < minimum
        assert hidden != 1 or is_one_small_group
        assert any(row["age_group"] == SUPPRESSED for row in after) == any(size(row) < minimum for row in before)
        assert [row for row in after if row["age_group"] != SUPPRESSED] == [
            row | {"suppression_reason": None}
            for row in before
            if row["age_group"] in {each["age_group"] for each in after}
        ]


def size(row: dict[str, Any]) -> float:
    return min(row["transaction_count"], row["estimated_transaction_count"])


def test_a_small_group_takes_the_next_smallest_with_it(spark: SparkSession) -> None:
    published = folded(spark, row_of_groups(1, [(2, 8), (30, 120), (40, 160)]), 5)
    assert [tuple(row.values()) for row in published] == [
        ("0001", "MILK", "20-29", 40, None, 40.0, 0.0, None),
        *(
            ("0001", "MILK", "suppressed", 32, None, 32.0, None, reason)
            for reason in ["age groups with fewer than 5 transactions, and the next smallest, counted together"]
        ),
    ]


def test_a_category_of_a_store_that_is_small_as_a_whole_keeps_its_total_and_loses_its_ages(spark: SparkSession) -> None:
    (row,) = folded(spark, row_of_groups(1, [(1, 3), (1, 5)]), 5)
    assert (row["age_group"], row["transaction_count"]) == ("suppressed", 2)


def test_nothing_is_folded_at_a_minimum_of_zero(spark: SparkSession) -> None:
    rows = row_of_groups(1, [(1, 4), (0, 1)])
    assert folded(spark, rows, 0) == [row | {"suppression_reason": None} for row in rows]


@pytest.mark.parametrize(("minimum", "expected"), [(0, [1.2, 7.6]), (5, [0.0, 10.0])])
def test_counts_are_rounded_to_a_multiple_of_the_minimum(minimum: int, expected: list[float]) -> None:
    assert rounded(np.asarray([1.2, 7.6]), minimum).tolist() == expected
