from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.ages.age_groups import age_group, age_group_names, probability_under
from tests.given.rows import certain_of

BOUNDS = (0, 18, 25, 35, 45, 55, 65)


def test_bands_are_named_by_their_first_and_last_year() -> None:
    assert age_group_names(BOUNDS) == ["0-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65+"]


def test_an_age_belongs_to_the_band_that_holds_it(spark: SparkSession) -> None:
    ages = [(0.0,), (17.99,), (18.0,), (24.9,), (65.0,), (100.0,), (None,)]
    groups = spark.createDataFrame(ages, "age double").select(age_group(F.col("age"), BOUNDS)).collect()
    assert [row[0] for row in groups] == ["0-17", "0-17", "18-24", "18-24", "65+", "65+", "unknown"]


def test_the_probability_of_being_younger_sums_the_years_below(spark: SparkSession) -> None:
    half_and_half = [0.5 * share for share in certain_of(17)]
    half_and_half[18] = 0.5
    distributions = [(certain_of(17),), (certain_of(18),), (half_and_half,), (None,)]
    people = spark.createDataFrame(distributions, "distribution array<float>")
    assert [row[0] for row in people.select(probability_under(F.col("distribution"), 18)).collect()] == [
        1,
        0,
        0.5,
        None,
    ]
