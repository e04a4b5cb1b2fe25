from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession

from jobs.ages.age_cells import age_cells
from jobs.ages.age_group_estimates import group_sums
from jobs.ages.age_groups import age_group_names
from jobs.ages.age_mix_estimation import corrected
from jobs.schemas.buyers import AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.settings import Settings
from jobs.tables.age_group_purchases import age_group_purchases, cell_sums
from jobs.tables.age_mixes import age_mixes
from tests.given.ages import BOUNDS, CALIBRATION, buyer
from tests.given.rows import BUSINESS_DATE, line, rows_of

KEY = AGE_GROUP_PURCHASES.key
Rows = list[dict[str, Any]]


def mixes_of(spark: SparkSession, lines: Rows, buyers: Rows) -> DataFrame:
    transaction_lines = rows_of(spark, TRANSACTION_LINES, *lines)
    return age_mixes(transaction_lines, rows_of(spark, TRANSACTION_AGES, *buyers), CALIBRATION, BUSINESS_DATE)


def purchases_of(spark: SparkSession, settings: Settings, lines: Rows, buyers: Rows) -> list[Row]:
    transaction_ages = rows_of(spark, TRANSACTION_AGES, *buyers)
    sums = cell_sums(rows_of(spark, TRANSACTION_LINES, *lines), transaction_ages)
    mixes = mixes_of(spark, lines, buyers)
    purchases = age_group_purchases(
        sums,
        mixes,
        age_cells(transaction_ages),
        CALIBRATION,
        settings.age_group_lower_bounds_years,
        settings.minimum_cell_count,
    )
    return purchases.orderBy(*KEY).collect()


def test_lines_are_summed_by_store_age_group_and_category(spark: SparkSession, settings: Settings) -> None:
    lines = [
        line(net_amount="2.50"),
        line(line_number=2, net_amount="-2.50", quantity="-1", line_type="void"),
        line(line_number=3, net_amount="0.10", quantity="0.375"),
        line(transaction_id="t2", net_amount="1.01"),
        line(transaction_id="t2", line_number=2, product_category="BEER", net_amount="9.99"),
    ]
    purchases = purchases_of(spark, settings, lines, [buyer("t1", 30), buyer("t2", 31)])
    plain = ("transaction_count", "line_count", "quantity", "net_amount")
    assert [tuple(row[name] for name in (*KEY, *plain)) for row in purchases if row.transaction_count] == [
        ("0042", "25-34", "BEER", "USD", 1, 1, Decimal("1.000"), Decimal("9.99")),
        ("0042", "25-34", "MILK", "USD", 2, 4, Decimal("1.375"), Decimal("1.11")),
    ]


def test_a_transaction_without_an_estimate_counts_as_unknown_and_is_not_estimated(
    spark: SparkSession, settings: Settings
) -> None:
    lines = [line(), line(transaction_id="t2"), line(transaction_id="t3", net_amount="-1.00", line_type="return")]
    (unknown,) = purchases_of(spark, settings, lines, [buyer("t1", None), buyer("t3", None)])
    assert (unknown.age_group, unknown.transaction_count, unknown.net_amount) == ("unknown", 3, Decimal("4.00"))
    assert {unknown[f"estimated_transaction_count{end}"] for end in ("", "_low", "_high")} == {3.0}
    assert {unknown[f"estimated_net_amount{end}"] for end in ("", "_low", "_high")} == {4.0}


def test_amounts_of_different_currencies_are_not_added(spark: SparkSession, settings: Settings) -> None:
    lines = [line(), line(transaction_id="t2", currency="EUR", net_amount="9.00"), line(transaction_id="t3")]
    purchases = purchases_of(spark, settings, lines, [buyer("t1", 30), buyer("t2", 30)])
    estimated = pd.Series([row.estimated_net_amount for row in purchases]).groupby([row.currency for row in purchases])
    assert estimated.sum().to_dict() == pytest.approx({"USD": 5.00, "EUR": 9.00})


def test_a_buyer_counts_in_each_group_by_probability_and_every_group_has_a_row(
    spark: SparkSession, settings: Settings
) -> None:
    ages = np.linspace(20, 49, 60).tolist()
    lines = [line(transaction_id=f"t{n}") for n in range(60)]
    purchases = purchases_of(spark, settings, lines, [buyer(f"t{n}", age) for n, age in enumerate(ages)])
    estimated = {row.age_group: row.estimated_transaction_count for row in purchases}
    assert list(estimated) == age_group_names(BOUNDS)
    assert {row.age_group for row in purchases if row.transaction_count} == {"18-24", "25-34", "35-44", "45-54"}
    assert sum(estimated.values()) == pytest.approx(60)
    assert estimated["25-34"] == pytest.approx(20, abs=5)
    assert estimated["35-44"] == pytest.approx(20, abs=5)
    for row in purchases:
        assert row.estimated_transaction_count_low < row.estimated_transaction_count
        assert row.estimated_transaction_count < row.estimated_transaction_count_high


def test_other_bands_need_no_other_estimates_of_ages(spark: SparkSession, settings: Settings) -> None:
    lines = [line(transaction_id=f"t{n}") for n in range(20)]
    buyers = [buyer(f"t{n}", 15.0 + 3 * n, age_group="0-29" if n < 5 else "30+") for n in range(20)]
    halves = settings.model_copy(update={"age_group_lower_bounds_years": (0, 30)})
    purchases = purchases_of(spark, halves, lines, buyers)
    assert [(row.age_group, row.transaction_count) for row in purchases] == [("0-29", 5), ("30+", 15)]
    assert sum(row.estimated_transaction_count for row in purchases) == pytest.approx(20)


LINES = st.lists(
    st.fixed_dictionaries(
        {
            "transaction_id": st.sampled_from([f"t{n}" for n in range(12)]),
            "store_id": st.sampled_from(["0042", "0043"]),
            "product_category": st.sampled_from(["BEER", "MILK"]),
            "line_type": st.sampled_from(["sale", "return", "void"]),
            "quantity": st.decimals(-3, 3, places=3).map(str),
            "net_amount": st.decimals(-99, 99, places=2).map(str),
        }
    ),
    min_size=1,
    max_size=40,
)
AGES = st.lists(st.one_of(st.none(), st.floats(10, 80)), min_size=24, max_size=24)


def a_day(lines: Rows, ages: list[float | None]) -> tuple[Rows, Rows]:
    """Lines of up to 12 transactions in each of two stores, and the buyers of all of them."""
    numbered = [line(line_number=number, **given) for number, given in enumerate(lines)]
    places = [(store, f"t{n}") for store in ("0042", "0043") for n in range(12)]
    buyers = [buyer(name, age, store_id=store) for (store, name), age in zip(places, ages, strict=True)]
    bought = {(row["store_id"], row["transaction_id"]) for row in numbered}
    return numbered, [row for row in buyers if (row["store_id"], row["transaction_id"]) in bought]


LOG = """
SELECT store_id, product_category,
    count(DISTINCT transaction_id)::DOUBLE, sum(quantity)::DOUBLE, sum(net_amount)::DOUBLE
FROM lines GROUP BY ALL ORDER BY ALL
"""
TABLE = """
SELECT store_id, product_category, sum(estimated_transaction_count), sum(estimated_quantity), sum(estimated_net_amount),
    sum(transaction_count)::DOUBLE, sum(quantity)::DOUBLE, sum(net_amount)::DOUBLE
FROM purchases GROUP BY ALL ORDER BY ALL
"""


@pytest.mark.parametrize("minimum_cell_count", [0, 3])
@hypothesis_settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, ages=AGES)
def test_sums_over_groups_equal_the_log(
    spark: SparkSession, settings: Settings, minimum_cell_count: int, lines: Rows, ages: list[float | None]
) -> None:
    lines, buyers = a_day(lines, ages)
    asked = settings.model_copy(update={"minimum_cell_count": minimum_cell_count})
    purchases = pd.DataFrame([row.asDict() for row in purchases_of(spark, asked, lines, buyers)])
    logged, summed = (rows_from(query, lines=pd.DataFrame(lines), purchases=purchases) for query in (LOG, TABLE))
    assert [row[:2] for row in summed] == [row[:2] for row in logged]
    for of_table, of_log in zip(summed, logged, strict=True):
        assert of_table[2:5] == pytest.approx(of_log[2:], rel=1e-6, abs=1e-9)
        assert of_table[5:] == pytest.approx(of_log[2:], rel=1e-12, abs=1e-9)


EXPECTED = """
SELECT age_group, product_category, sum(probability), sum(probability * quantity), sum(probability * net_amount)
FROM (SELECT store_id, transaction_id, product_category, sum(quantity)::DOUBLE AS quantity,
        sum(net_amount)::DOUBLE AS net_amount
      FROM lines GROUP BY ALL)
JOIN probabilities USING (store_id, transaction_id, product_category)
GROUP BY ALL ORDER BY ALL
"""
FOUND = """
SELECT age_group, product_category, sum(estimated_transaction_count), sum(estimated_quantity), sum(estimated_net_amount)
FROM purchases WHERE age_group <> 'unknown' GROUP BY ALL ORDER BY ALL
"""


def test_estimates_are_those_of_single_buyers_corrected_for_the_mix_of_the_category(
    spark: SparkSession, settings: Settings
) -> None:
    """DuckDB sums over buyers and not over cells, which round ages to half a year."""
    random = np.random.default_rng(1)
    lines = [
        line(transaction_id=f"t{n}", line_number=number, product_category=category, net_amount=f"{amount:.2f}")
        for n in range(200)
        for number, category in enumerate(random.choice(["BEER", "MILK", "GUM"], 2, replace=False))
        for amount in random.gamma(2, 5, 1)
    ]
    buyers = [buyer(f"t{n}", age) for n, age in enumerate(random.normal(40, 14, 200).clip(8, 85).tolist())]
    purchases = pd.DataFrame([row.asDict() for row in purchases_of(spark, settings, lines, buyers)])
    expected = rows_from(EXPECTED, lines=pd.DataFrame(lines), probabilities=probabilities(spark, lines, buyers))
    found = rows_from(FOUND, purchases=purchases)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for of_table, of_buyers in zip(found, expected, strict=True):
        assert of_table[2:] == pytest.approx(of_buyers[2:], rel=0.03, abs=0.3)


def probabilities(spark: SparkSession, lines: Rows, buyers: Rows) -> pd.DataFrame:
    """P(age group) of each buyer in each category."""
    mixes = {
        row.product_category: np.asarray(row.estimated_age_distribution)
        for row in mixes_of(spark, lines, buyers).collect()
    }
    distributions = np.asarray([row["age_distribution"] for row in buyers])
    by_category = []
    for category, mix in mixes.items():
        of_groups = pd.DataFrame(group_sums(corrected(distributions, mix, CALIBRATION), BOUNDS))
        of_groups.columns = age_group_names(BOUNDS)
        places = pd.DataFrame(buyers)[["store_id", "transaction_id"]].assign(product_category=category)
        by_category.append(
            places.join(of_groups).melt([*places.columns], var_name="age_group", value_name="probability")
        )
    return pd.concat(by_category)


def rows_from(query: str, **frames: pd.DataFrame) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        for name, frame in frames.items():
            connection.register(name, frame)
        return connection.sql(query).fetchall()


def test_a_small_group_is_folded_with_the_next_smallest(spark: SparkSession, settings: Settings) -> None:
    ages = [20.0] * 1 + [40.0] * 30 + [60.0] * 40
    lines = [line(transaction_id=f"t{n}") for n in range(len(ages))]
    asked = settings.model_copy(update={"minimum_cell_count": 5, "age_group_lower_bounds_years": (0, 25, 50)})
    groups = {20.0: "0-24", 40.0: "25-49", 60.0: "50+"}
    buyers = [buyer(f"t{n}", age, age_group=groups[age]) for n, age in enumerate(ages)]
    purchases = purchases_of(spark, asked, lines, buyers)
    assert [(row.age_group, row.transaction_count, row.suppression_reason) for row in purchases] == [
        ("50+", 40, None),
        ("suppressed", 31, "age groups with fewer than 5 transactions, and the next smallest, counted together"),
    ]
