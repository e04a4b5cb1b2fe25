from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from jobs.schemas.landed import TRANSACTION_LINES
from jobs.warehouse import arrow_frames
from jobs.warehouse.arrow_frames import arrow_frame, parquet_frame, write_parquet
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.table_files import write_table_file
from tests.given.rows import arrow_rows, line

LINES = TRANSACTION_LINES
PART_BYTES = "spark.sql.adaptive.advisoryPartitionSizeInBytes"
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


def shuffled_rows(spark: SparkSession, store: ObjectStore, *line_numbers: int, tasks: int = 5) -> DataFrame:
    """Return lines of seven stores, which neither tasks nor rows within a task have in the order of the key."""
    line_of_store = numbered_rows(1).to_pylist()[0]

    def read(numbers: tuple[int, ...]) -> Iterator[pa.RecordBatch]:
        rows = [line_of_store | {"store_id": f"{number % 7:04}", "line_number": number} for number in numbers]
        yield from pa.Table.from_pylist(rows, LINES.schema).to_batches()

    return arrow_frame(spark, store, LINES.schema, [line_numbers[::-1][task::tasks] for task in range(tasks)], read)


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


@pytest.fixture
def small_parts(spark: SparkSession) -> Iterator[None]:
    """Let Spark think that some hundred rows are as many as a task should sort."""
    spark.conf.set(PART_BYTES, "100B")
    yield
    spark.conf.unset(PART_BYTES)


@pytest.fixture
def merges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of parts in each round of merges from now on."""
    counts: list[int] = []

    def counted_frame(session: object, store: object, schema: object, shares: list[list[str]], read: object) -> object:
        counts.append(sum(len(keys) for keys in shares))
        return arrow_frame(session, store, schema, shares, read)

    monkeypatch.setattr(arrow_frames, "arrow_frame", counted_frame)
    return counts


def test_one_task_sorts_a_small_day(spark: SparkSession, landing: ObjectStore, merges: list[int]) -> None:
    write_parquet(shuffled_rows(spark, landing, *range(3_000)), landing, "lines.parquet", LINES, "_attempts")
    assert merges == []


@pytest.mark.usefixtures("small_parts")
def test_what_many_tasks_sort_is_one_sorted_file_and_no_part_is_left(
    spark: SparkSession, landing: ObjectStore, merges: list[int]
) -> None:
    numbers = list(range(3_000))
    told = write_parquet(shuffled_rows(spark, landing, *numbers), landing, "lines.parquet", LINES, "_attempts")
    assert merges == [5]
    with landing.reader("lines.parquet") as stream:
        rows = pq.ParquetFile(stream).read()
    expected = sorted((f"{number % 7:04}", number) for number in numbers)
    assert list(zip(rows["store_id"].to_pylist(), rows["line_number"].to_pylist(), strict=True)) == expected
    assert told == write_table_file(landing, "again", LINES, rows.to_batches())
    assert sorted(entry.key for entry in landing.list()) == ["again", "lines.parquet"]


@pytest.mark.usefixtures("small_parts")
def test_many_parts_are_merged_in_rounds(
    spark: SparkSession, landing: ObjectStore, merges: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_frames, "MOST_PARTS", 2)
    rows = shuffled_rows(spark, landing, *range(9_000), tasks=9)
    assert write_parquet(rows, landing, "lines.parquet", LINES, "_attempts").row_count == 9_000
    assert merges == [9, 5, 3, 2]
    assert [entry.key for entry in landing.list()] == ["lines.parquet"]


@pytest.mark.usefixtures("small_parts")
def test_a_key_that_is_in_two_parts_leaves_what_was_there(
    spark: SparkSession, landing: ObjectStore, merges: list[int]
) -> None:
    landing.write("lines.parquet", b"as it was")
    twice = shuffled_rows(spark, landing, *range(3_000), 1_234)
    with pytest.raises(PySparkException, match=r'"0002", "03", "t1", 1234\] is there twice'):
        write_parquet(twice, landing, "lines.parquet", LINES, "_attempts")
    assert merges == [5]
    assert landing.read("lines.parquet") == b"as it was"


def test_a_key_that_is_there_twice_leaves_what_was_there(spark: SparkSession, landing: ObjectStore) -> None:
    landing.write("lines.parquet", b"as it was")
    twice = staged_rows(spark, 1, 1)
    with pytest.raises(PySparkException, match="transaction_lines"):
        write_parquet(twice, landing, "lines.parquet", LINES, "_attempts")
    assert landing.read("lines.parquet") == b"as it was"
