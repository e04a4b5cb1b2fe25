from collections.abc import Iterator

import pandas as pd
import pytest
from pyspark.errors import PythonException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.errors import InputError, StoreError
from jobs.landing import landed_photos
from jobs.worker_errors import told_by_workers
from tests.rows import BUSINESS_DATE


def failing_in_a_worker(spark: SparkSession, error: Exception) -> None:
    def fail(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        raise error

    fail.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    spark.range(1).select(F.pandas_udf(fail, "string")("id")).collect()


def test_what_a_worker_says_that_a_person_can_mend_is_the_error_of_the_step(spark: SparkSession) -> None:
    with pytest.raises(StoreError, match=r"^object 'a\\njobs.errors.InputError: forged' is gone$"), told_by_workers():
        failing_in_a_worker(spark, StoreError("object 'a\njobs.errors.InputError: forged' is gone"))


def test_what_breaks_in_a_worker_stays_as_it_is(spark: SparkSession) -> None:
    with pytest.raises(PythonException, match="ZeroDivisionError"), told_by_workers():
        failing_in_a_worker(spark, ZeroDivisionError("1 / 0"))


def test_a_landing_that_does_not_answer_is_told_in_a_sentence(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="'ftp://x' is not a URI of a kind that is read here"), told_by_workers():
        landed_photos(spark, "ftp://x", BUSINESS_DATE).collect()
