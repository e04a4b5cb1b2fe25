from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from jobs.schemas.landed import TRANSACTION_LINES
from jobs.warehouse.arrow_frames import arrow_frame, parquet_frame, write_parquet
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.table_files import write_table_file
from tests.given.rows import arrow_rows, line

LINES = TRANSACTION_LINES
WORDS = pa.schema([("word", pa.string()), ("task", pa.int64())])


def words(share: tuple[int, list[str]]) -> Iterator[pa.RecordBatch]:
    task, said = share
    for word in said:
        yield pa.RecordBatch.from_pylist([{"word": word, "task": task}], WORDS)


def numbered_rows(*line_numbers: int) -> pa.Table:
    rows = arrow_rows(LINES, *(line(line_number=number) for number in line_numbers))
    return rows.append_column("run_id", pa.repeat("run-1", len(line_numbers)))


def staged_rows(spark: SparkSession, *line_numbers: int) -> DataFrame:
    return spark.createDataFrame(numbered_rows(*line_numbers))


def test_each_share_is_read_once_by_a_task_of_its_own(spark: SparkSession, landing: ObjectStore) -> None:
    shares = [(0, ["a"]), (1, []), (2, ["b", "c"])]
    frame = arrow_frame(spark, landing, WORDS, shares, words)
    assert sorted((row.word, row.task) for row in frame.collect()) == [("a", 0), ("b", 2), ("c", 2)]
    assert frame.rdd.getNumPartitions() == len(shares)


def test_no_share_is_no_row_and_the_schema_all_the_same(spark: SparkSession, landing: ObjectStore) -> None:
    frame = arrow_frame(spark, landing, WORDS, [], words)
    assert frame.columns == ["word", "task"]
    assert frame.count() == 0


def test_rows_are_written_in_key_order_and_read_back_and_no_attempt_is_left(
    spark: SparkSession, landing: ObjectStore, tmp_path: Path
) -> None:
    told = write_parquet(staged_rows(spark, 3, 1, 2), landing, "lines.parquet", LINES, "_attempts")
    assert pq.read_table(tmp_path / "landing/lines.parquet")["line_number"].to_pylist() == [1, 2, 3]
    assert told == write_table_file(landing, "again", LINES, numbered_rows(1, 2, 3).to_batches())
    landing.delete(["again"])
    assert [entry.key for entry in landing.list()] == ["lines.parquet"]
    assert parquet_frame(spark, landing, "lines.parquet", LINES.schema).count() == 3


def test_what_spark_knows_to_be_empty_is_a_file_too(spark: SparkSession, landing: ObjectStore) -> None:
    nothing = staged_rows(spark, 1).where("false")
    assert write_parquet(nothing, landing, "lines.parquet", LINES, "_attempts").row_count == 0
    assert parquet_frame(spark, landing, "lines.parquet", LINES.schema).count() == 0


def test_a_key_that_is_there_twice_leaves_what_was_there(spark: SparkSession, landing: ObjectStore) -> None:
    landing.write("lines.parquet", b"as it was")
    twice = staged_rows(spark, 1, 1)
    with pytest.raises(PySparkException, match="transaction_lines"):
        write_parquet(twice, landing, "lines.parquet", LINES, "_attempts")
    assert landing.read("lines.parquet") == b"as it was"
