from datetime import date

from pyspark.sql import SparkSession

from jobs.landing.case_ids import case_id, case_ids

DAY = date(2026, 11, 20)
KEYS = [
    ("0042", "03", "4711"),
    ("0042", "03", '47"11\\'),
    ("Магазин 7", "3/4", "№ 12"),
    ("0042", "03", "caf\u00e9 \U0001f600 </b> &"),
]


def test_the_id_of_a_case_is_the_same_from_spark_as_from_python(spark: SparkSession) -> None:
    sales = spark.createDataFrame(KEYS, "store_id string, till_id string, transaction_id string")
    from_spark = [row.case_id for row in sales.select(case_ids(DAY).alias("case_id")).collect()]
    assert from_spark == [case_id(DAY, *key) for key in KEYS]
    assert from_spark[0] == "6ad72640bab0af0a"
