from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.errors import InputError, StoreError
from jobs.landing.deliveries import landed_photos
from jobs.spark import code_digest, refuse_other_code, reraising_worker_errors
from tests.given.rows import BUSINESS_DATE

ADAPTIVE = "spark.sql.adaptive"
ADVISORY = f"{ADAPTIVE}.advisoryPartitionSizeInBytes"


def installed(folder: Path, **contents: str) -> Path:
    for package in ("jobs", "models"):
        (folder / package).mkdir(parents=True)
    for name, content in contents.items():
        (folder / "jobs" / f"{name}.py").write_text(content)
    return folder


def test_the_same_code_in_another_folder_is_the_same(tmp_path: Path) -> None:
    one, other = (installed(tmp_path / name, run="1", night="2") for name in ("one", "other"))
    (other / "jobs" / "notes.txt").write_text("not code")
    assert code_digest(one) == code_digest(other)


@pytest.mark.parametrize("contents", [{"run": "1"}, {"run": "1", "night": "3"}, {"run": "1", "evening": "2"}])
def test_code_that_differs_in_a_file_is_another(tmp_path: Path, contents: dict[str, str]) -> None:
    one, other = installed(tmp_path / "one", run="1", night="2"), installed(tmp_path / "other", **contents)
    assert code_digest(one) != code_digest(other)


def test_work_for_a_driver_with_other_code_is_refused() -> None:
    refuse_other_code(code_digest())
    with pytest.raises(InputError, match=r"has other code of this project .* than Spark's driver \(0123abcd…\)"):
        refuse_other_code("0123abcd" * 8)


def failing_in_a_worker(spark: SparkSession, error: Exception) -> None:
    def fail(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        raise error

    fail.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    spark.range(1).select(F.pandas_udf(fail, "string")("id")).collect()


def test_what_a_worker_says_that_a_person_can_fix_is_the_error_of_the_step(spark: SparkSession) -> None:
    with (
        pytest.raises(StoreError, match=r"^object 'a\\njobs.errors.InputError: forged' is gone$"),
        reraising_worker_errors(),
    ):
        failing_in_a_worker(spark, StoreError("object 'a\njobs.errors.InputError: forged' is gone"))


def test_what_breaks_in_a_worker_stays_as_it_is(spark: SparkSession) -> None:
    with pytest.raises(PythonException, match="ZeroDivisionError"), reraising_worker_errors():
        failing_in_a_worker(spark, ZeroDivisionError("1 / 0"))


def test_a_landing_that_does_not_answer_is_told_in_a_sentence(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(InputError, match="'ftp://x' has a scheme that is not supported"),
        reraising_worker_errors(),
    ):
        landed_photos(spark, "ftp://x", BUSINESS_DATE).collect()


@pytest.mark.parametrize("is_kept", [False, True], ids=["streamed", "kept in memory"])
def test_rows_are_shuffled_to_as_many_tasks_as_their_size_asks_for(spark: SparkSession, is_kept: bool) -> None:
    small_tasks = dict.fromkeys((f"{ADAPTIVE}.coalescePartitions.minPartitionSize", ADVISORY), "16KB")
    with set_for_a_while(spark, small_tasks):
        few, many = (task_count(shuffled(spark.range(rows), is_kept)) for rows in (100, 400_000))
    assert few <= 2
    assert many > 50


@contextmanager
def set_for_a_while(spark: SparkSession, settings: dict[str, str]) -> Iterator[None]:
    before = {name: spark.conf.get(name) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, str(value))


def shuffled(numbers: DataFrame, is_kept: bool) -> DataFrame:
    counts = numbers.groupBy(F.xxhash64("id")).count()
    return counts.cache() if is_kept else counts


def task_count(rows: DataFrame) -> int:
    return rows.select(F.spark_partition_id()).distinct().count()
