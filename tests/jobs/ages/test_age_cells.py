import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.ages.age_cells import age_cells
from jobs.ages.age_columns import age_cell
from jobs.ages.age_mix_estimation import cell_numbers
from jobs.schemas.buyers import TRANSACTION_AGES
from tests.given.ages import buyer
from tests.given.rows import rows_of

AGES = np.random.default_rng(1).normal(30, 2, 300).tolist()
BUYERS = [buyer(f"t{n:03}", age) for n, age in enumerate(AGES)]


def test_a_cell_has_the_count_and_the_mean_distribution_of_its_transactions(spark: SparkSession) -> None:
    cells = age_cells(rows_of(spark, TRANSACTION_AGES, *BUYERS, buyer("unknown", None)).repartition(3))
    distributions = np.asarray([row["age_distribution"] for row in BUYERS])
    numbers = cell_numbers(distributions)
    assert cells.number.tolist() == sorted(set(numbers.tolist()))
    assert cells.transaction_count.sum() == len(BUYERS)
    for number, mean in zip(cells.number, cells.distribution, strict=True):
        assert mean == pytest.approx(distributions[numbers == number].mean(axis=0), abs=1e-7)


def test_a_transaction_finds_the_row_of_its_cell_and_has_none_without_an_estimate(spark: SparkSession) -> None:
    transaction_ages = rows_of(spark, TRANSACTION_AGES, *BUYERS, buyer("unknown", None))
    cells = age_cells(transaction_ages)
    numbered = transaction_ages.select("transaction_id", age_cell(F.col("age_distribution"))).collect()
    number_of = dict(map(tuple, numbered))
    assert number_of.pop("unknown") is None
    rows = cells.rows(np.asarray(list(number_of.values())))
    assert np.bincount(rows).tolist() == cells.transaction_count.tolist()


def test_a_day_without_an_estimate_has_no_cells(spark: SparkSession) -> None:
    cells = age_cells(rows_of(spark, TRANSACTION_AGES, buyer("t1", None)))
    assert (cells.number.tolist(), cells.distribution.shape) == ([], (0, 101))
