"""Receipts by category and age group over all stores, and how wide their intervals are."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from jobs.ages.age_group_estimates import NORMAL_QUANTILE_95
from jobs.report.day_tables import COLUMNS, DayTables
from jobs.report.purchases import Bar, purchases
from jobs.report.small_counts import shown
from jobs.schemas.buyers import AGE_GROUP_PURCHASES, AGE_MIXES
from tests.given.published_days import day_rows


def bought(*rows: dict[str, Any], mixes: list[dict[str, Any]] | None = None) -> list[Bar]:
    """The bars of BEER from rows of age_group_purchases."""
    default = {"product_category": "BEER", "currency": "RUB", "age_group": "18-24", "store_id": "1"}
    given = {AGE_GROUP_PURCHASES: [default | row for row in rows], AGE_MIXES: mixes or []}
    with duckdb.connect() as connection:
        for table, names in COLUMNS.items():
            schema = table.schema_of(names)
            connection.register(table.name, pa.Table.from_pylist(given.get(table, []), schema))
        day = DayTables(date(2026, 11, 20), {}, 1, {}, False, connection)
        return list(purchases(day, minimum_cell_count=0).categories[0].bars)


def estimated(value: float, margin: float | None, **given: Any) -> dict[str, Any]:
    ends = (None, None) if margin is None else (value - margin, value + margin)
    return {
        "transaction_count": round(value),
        "estimated_transaction_count": value,
        "estimated_transaction_count_low": ends[0],
        "estimated_transaction_count_high": ends[1],
    } | given


def mix(receipts: int, spread: float) -> dict[str, Any]:
    """The ages of BEER's buyers, half of them 20 and half 30, and two resamplings that differ by a spread."""
    by_year = np.zeros((3, 101))
    by_year[:, 20], by_year[:, 30] = [0.5, 0.5 + spread, 0.5 - spread], [0.5, 0.5 - spread, 0.5 + spread]
    return {
        "circle": "product_category",
        "product_category": "BEER",
        "transaction_count": receipts,
        "estimated_age_shares": by_year[0].tolist(),
        "resampled_age_shares": by_year[1:].tolist(),
    }


def test_of_one_store_the_interval_is_its_own() -> None:
    (young, old) = bought(
        estimated(50.0, 8.0), estimated(50.0, 8.0, age_group="25-34"), mixes=[mix(100, 0.04)]
    )  # fmt: skip
    assert (young.estimate, young.low, young.high) == pytest.approx((50.0, 42.0, 58.0))
    assert old.age_group == "25-34"


def test_of_two_stores_what_they_have_in_common_counts_twice_and_the_rest_once() -> None:
    young = bought(
        *(estimated(25.0, 5.0, store_id=store, age_group=group) for store in "12" for group in ("18-24", "25-34")),
        mixes=[mix(100, 0.04)],
    )[0]
    common = (0.04 * 100) ** 2
    expected = NORMAL_QUANTILE_95 * np.sqrt(2 * (5.0 / NORMAL_QUANTILE_95) ** 2 + common * (1 - 2 * 0.25))
    assert young.estimate == 50.0
    assert young.high - young.estimate == pytest.approx(expected)


def test_buyers_without_an_estimate_have_no_bar_and_folded_ones_have_no_interval() -> None:
    bars = bought(estimated(9.0, 1.0, age_group="unknown"), estimated(5.0, None, age_group="suppressed"))
    assert bars == [Bar("suppressed", 5, 5.0, None, None)]


def test_groups_come_youngest_first_and_what_is_no_age_last() -> None:
    names = ["65+", "suppressed", "5-9", "0-4", "18-64"]
    bars = bought(*(estimated(5.0, None, age_group=name) for name in names))
    assert [bar.age_group for bar in bars] == ["0-4", "5-9", "18-64", "65+", "suppressed"]


@pytest.mark.parametrize(("count", "minimum", "expected"), [(2.4, 0, 2.4), (2.4, 5, 0), (12, 5, 10), (13, 5, 15)])
def test_small_counts_are_rounded_where_a_minimum_is_set(count: float, minimum: int, expected: float) -> None:
    assert shown(count, minimum) == expected


def test_the_made_up_day_has_rows_of_every_table_that_the_report_reads() -> None:
    assert set(day_rows()) == set(COLUMNS)
