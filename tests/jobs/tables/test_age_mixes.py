from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession

from jobs.ages.age_mix_estimation import likelihoods
from jobs.ages.age_mix_fit import Floats, fit_mix
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.tables.age_mixes import age_mixes
from tests.given.ages import CALIBRATION, YEARS, buyer
from tests.given.rows import BUSINESS_DATE, line, rows_of


def mixes_of(
    spark: SparkSession, lines: list[dict[str, Any]], buyers: list[dict[str, Any]], partition_count: int = 1
) -> dict[tuple[str, str], Row]:
    ages = rows_of(spark, TRANSACTION_AGES, *buyers).repartition(partition_count)
    mixes = age_mixes(rows_of(spark, TRANSACTION_LINES, *lines), ages, CALIBRATION, BUSINESS_DATE)
    return {(row.circle, row.product_category): row for row in mixes.collect()}


def mean_age(shares: list[float]) -> float:
    return float(np.asarray(shares) @ YEARS)


def test_each_circle_of_buyers_has_a_row_that_counts_those_with_an_estimate(spark: SparkSession) -> None:
    lines = [
        line(is_alcohol=True, product_category="BEER"),
        line(line_number=2, product_category="MILK"),
        line(line_number=3, product_category="MILK", line_type="void", quantity="-1"),
        line(transaction_id="t2", product_category="MILK"),
        line(transaction_id="t3", product_category="BEER", is_alcohol=True, line_type="return", quantity="-1"),
        line(transaction_id="t4", product_category="BREAD"),
    ]
    mixes = mixes_of(spark, lines, [buyer("t1", 30), buyer("t2", 60), buyer("t3", 50), buyer("t4", None)])
    assert {circle: row.transaction_count for circle, row in mixes.items()} == {
        ("all", ""): 3,
        ("alcohol", ""): 1,
        ("product_category", "BEER"): 2,
        ("product_category", "MILK"): 2,
    }
    for row in mixes.values():
        assert sum(row.estimated_age_distribution) == pytest.approx(1)
        assert sum(row.estimated_age_shares) == pytest.approx(1)
        assert [sum(shares) for shares in row.resampled_age_shares] == pytest.approx([1] * 5)
        assert [sum(shares) for shares in row.resampled_age_distributions] == pytest.approx([1] * 5)


def test_a_category_of_young_buyers_is_younger_than_all_and_a_small_one_less_so(spark: SparkSession) -> None:
    ages = [20.0] * 40 + [60.0] * 80
    buyers = [buyer(f"t{n}", age) for n, age in enumerate(ages)]
    categories = ["COLA"] * 40 + ["MILK"] * 80
    lines = [line(transaction_id=f"t{n}", product_category=category) for n, category in enumerate(categories)]
    lines += [line(transaction_id=f"t{n}", line_number=2, product_category="GUM") for n in range(4)]
    mixes = mixes_of(spark, lines, buyers)
    cola, gum, everyone = (
        mean_age(mixes[key].estimated_age_distribution)
        for key in (("product_category", "COLA"), ("product_category", "GUM"), ("all", ""))
    )
    assert cola < gum < everyone
    assert everyone == pytest.approx(np.mean(ages), abs=2)
    assert mean_age(mixes["product_category", "GUM"].estimated_age_shares) < gum


def test_a_day_without_an_estimate_has_no_mix(spark: SparkSession) -> None:
    assert mixes_of(spark, [line()], [buyer("t1", None)]) == {}


def test_no_order_of_rows_and_no_number_of_partitions_changes_a_digit(spark: SparkSession) -> None:
    random = np.random.default_rng(1)
    buyers = [buyer(f"t{n}", age) for n, age in enumerate(random.normal(40, 15, 60).clip(5, 90).tolist())]
    lines = [line(transaction_id=f"t{n}", product_category="MILK" if n % 3 else "BEER") for n in range(60)]
    once = mixes_of(spark, lines, buyers)
    assert once == mixes_of(spark, lines[::-1], [buyers[n] for n in random.permutation(60)], partition_count=3)


@hypothesis_settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.floats(5, 90), min_size=1, max_size=60))
def test_the_mix_from_cells_is_that_of_every_buyer(spark: SparkSession, ages: list[float]) -> None:
    buyers = [buyer(f"t{n}", age) for n, age in enumerate(ages)]
    from_cells = mixes_of(spark, [], buyers)["all", ""].estimated_age_distribution
    assert np.abs(np.asarray(from_cells) - of_every_buyer(buyers)).sum() < 0.02


def of_every_buyer(buyers: list[dict[str, Any]]) -> Floats:
    distributions = np.asarray([buyer["age_distribution"] for buyer in buyers])
    return fit_mix(likelihoods(distributions, CALIBRATION), np.ones(len(buyers)), CALIBRATION.smoothing_years)
