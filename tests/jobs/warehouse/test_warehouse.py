import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.errors import InputError, PublishingLockError
from jobs.schemas.alcohol import REVIEWED_CASES
from jobs.schemas.buyers import AGE_MIXES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.runs import CHECK_RESULTS, MODEL_COMPARISON, PIPELINE_RUNS
from jobs.schemas.table import meaning
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, line, rows_of


def stage_lines(warehouse: Warehouse, spark: SparkSession, *lines: dict[str, object]) -> None:
    warehouse.stage(TRANSACTION_LINES, BUSINESS_DATE, rows_of(spark, TRANSACTION_LINES, *lines))


def test_a_staged_table_is_sorted_by_key_and_carries_the_run(warehouse: Warehouse, spark: SparkSession) -> None:
    stage_lines(warehouse, spark, line(transaction_id="t2"), line(line_number=2), line())
    rows = warehouse.read(TRANSACTION_LINES, BUSINESS_DATE).collect()
    assert [(row.transaction_id, row.line_number, row.run_id) for row in rows] == [
        ("t1", 1, "test-run"),
        ("t1", 2, "test-run"),
        ("t2", 1, "test-run"),
    ]
    assert warehouse.staging.staged(TRANSACTION_LINES, BUSINESS_DATE).row_count == 3


def test_rows_name_the_age_model_of_their_run_unless_they_name_another(settings: Settings) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "run-1", model_version="m-2")
    nameless = pa.Table.from_pylist([{"circle": "all", "product_category": ""}], AGE_MIXES.schema).drop("run_id")
    place = nameless.schema.get_field_index("model_version")
    named = []
    for rows in (nameless.drop("model_version"), nameless.set_column(place, "model_version", pa.array(["m-1"]))):
        warehouse.stage_arrow(AGE_MIXES, BUSINESS_DATE, rows)
        named += warehouse.staging.read_arrow(AGE_MIXES, BUSINESS_DATE, ["model_version"]).to_pylist()
    assert named == [{"model_version": "m-2"}, {"model_version": "m-1"}]


def test_a_key_that_is_there_twice_is_refused_with_its_value(warehouse: Warehouse, spark: SparkSession) -> None:
    with pytest.raises(Exception, match=r'transaction_lines.*"0042", "03", "t1", 1.*is there twice'):
        stage_lines(warehouse, spark, line(), line())
    with pytest.raises(InputError, match="table 'transaction_lines' of run 'test-run' is not staged"):
        warehouse.read(TRANSACTION_LINES, BUSINESS_DATE)


def test_a_key_that_is_null_is_refused(warehouse: Warehouse, spark: SparkSession) -> None:
    with pytest.raises(Exception, match="key column 'store_id' is null in 1 rows"):
        stage_lines(warehouse, spark, line(store_id=None))


def test_a_column_that_is_missing_is_refused_with_its_name(warehouse: Warehouse, spark: SparkSession) -> None:
    with pytest.raises(ValueError, match=r"table 'transaction_lines' lacks columns .*'line_number'"):
        warehouse.stage(TRANSACTION_LINES, BUSINESS_DATE, spark.createDataFrame([("t1",)], "transaction_id string"))


def test_an_empty_table_is_staged_and_published_with_its_schema(
    warehouse: Warehouse, spark: SparkSession, settings: Settings
) -> None:
    stage_lines(warehouse, spark)
    assert warehouse.read(TRANSACTION_LINES, BUSINESS_DATE).count() == 0
    warehouse.promote(TRANSACTION_LINES, BUSINESS_DATE)
    path = Path(settings.warehouse_uri.removeprefix("file://"))
    published = pq.read_schema(path / f"transaction_lines/business_date={BUSINESS_DATE}/part-0.parquet")
    assert published.names == TRANSACTION_LINES.column_names
    assert meaning(published.field("net_amount")) == meaning(TRANSACTION_LINES.schema.field("net_amount")) != ""


def test_publishing_replaces_the_day_and_nothing_else(warehouse: Warehouse, spark: SparkSession) -> None:
    stage_lines(warehouse, spark, line(), line(line_number=2))
    warehouse.promote(TRANSACTION_LINES, BUSINESS_DATE)
    neighbour = BUSINESS_DATE + timedelta(days=1)
    warehouse.stage(TRANSACTION_LINES, neighbour, rows_of(spark, TRANSACTION_LINES, line()))
    warehouse.promote(TRANSACTION_LINES, neighbour)
    stage_lines(warehouse, spark, line())
    warehouse.promote(TRANSACTION_LINES, BUSINESS_DATE)
    keys = sorted(entry.key for entry in warehouse.store.list("transaction_lines"))
    assert keys == [f"transaction_lines/business_date=2026-11-{day}/part-0.parquet" for day in (20, 21)]


def test_no_attempt_file_is_left_in_staging(warehouse: Warehouse, spark: SparkSession) -> None:
    stage_lines(warehouse, spark, line())
    names = sorted(entry.key for entry in warehouse.store.list("_staging"))
    assert names == [
        "_staging/test-run/business_date=2026-11-20/transaction_lines/_STAGED.json",
        "_staging/test-run/business_date=2026-11-20/transaction_lines/part-0.parquet",
    ]


def test_a_lock_lets_one_run_publish_and_names_it_to_the_other(settings: Settings) -> None:
    first, second = (Warehouse(ObjectStore(settings.warehouse_uri), run_id) for run_id in ("first", "second"))
    with (
        first.runs.lock(BUSINESS_DATE, 240),
        pytest.raises(PublishingLockError, match="business date 2026-11-20 is being published by run 'first'"),
        second.runs.lock(BUSINESS_DATE, 240),
    ):
        pytest.fail("two hold the lock")
    with first.runs.lock(BUSINESS_DATE, 240), second.runs.lock(BUSINESS_DATE + timedelta(days=1), 240):
        pass


def test_staging_of_dead_runs_is_swept_and_that_of_the_run_itself_and_of_live_ones_is_not(settings: Settings) -> None:
    store = ObjectStore(settings.warehouse_uri)
    root = Path(settings.warehouse_uri.removeprefix("file://"))
    keys = [f"_staging/{run}/business_date={BUSINESS_DATE}/{name}" for run in ("own", "dead", "live") for name in "ab"]
    for key in keys:
        store.write(key, b"rows")
    (root / "_staging/empty/business_date=2026-11-20").mkdir(parents=True)
    for key in keys[:-1]:
        os.utime(root / key, (1000, 1000))
    left = root / keys[2].replace("/a", "/_attempts")
    left.mkdir()
    (left / "transaction_lines.parquet#1").write_bytes(b"half")
    swept = Warehouse(store, "own").staging.sweep(datetime(2026, 1, 1, tzinfo=UTC))
    assert swept == {"dead": datetime.fromtimestamp(1000, UTC)}
    assert sorted(entry.key for entry in store.list("_staging")) == sorted([*keys[:2], *keys[4:]])
    assert sorted(path.name for path in (root / "_staging").iterdir()) == ["live", "own"]


def test_files_that_a_killed_process_left_half_written_are_no_tables_and_are_swept(settings: Settings) -> None:
    store = ObjectStore(settings.warehouse_uri)
    for table in (TRANSACTION_LINES, PIPELINE_RUNS):
        Warehouse(store, "run").published.write(table, BUSINESS_DATE, table.schema.empty_table())
    root = Path(settings.warehouse_uri.removeprefix("file://"))
    published = sorted(root.glob("*/*/*.parquet"))
    old, young = (published[0].with_name(f"part-0.parquet#{number}") for number in (1, 2))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    assert sorted(root.glob("*/business_date=*/*.parquet")) == published
    assert len(list(store.list())) == 2
    Warehouse(store, "run").staging.sweep(datetime(2026, 1, 1, tzinfo=UTC))
    assert sorted(root.rglob("*.parquet*")) == sorted([*published, young])


def test_sweeping_an_object_store_drops_dead_staging_only(s3_bucket: str) -> None:
    store = ObjectStore(f"{s3_bucket}/sweep-test")
    for key in ("_staging/dead/a", "_staging/own/a", "transaction_lines/part-0.parquet"):
        store.write(key, b"rows")
    assert list(Warehouse(store, "own").staging.sweep(datetime(2100, 1, 1, tzinfo=UTC))) == ["dead"]
    assert sorted(entry.key for entry in store.list()) == ["_staging/own/a", "transaction_lines/part-0.parquet"]


def test_what_readers_see_of_a_day_is_the_published_rows_and_nothing_before(
    warehouse: Warehouse, spark: SparkSession
) -> None:
    stage_lines(warehouse, spark, line())
    assert warehouse.read_published(TRANSACTION_LINES, BUSINESS_DATE) is None
    assert warehouse.published.read_arrow(TRANSACTION_LINES, BUSINESS_DATE, ["transaction_id"]) is None
    warehouse.promote(TRANSACTION_LINES, BUSINESS_DATE)
    published = warehouse.read_published(TRANSACTION_LINES, BUSINESS_DATE)
    assert [row.transaction_id for row in published.collect()] == ["t1"]
    columns = warehouse.published.read_arrow(TRANSACTION_LINES, BUSINESS_DATE, ["transaction_id"])
    assert columns.to_pydict() == {"transaction_id": ["t1"]}


def test_a_column_that_a_table_did_not_have_yet_when_the_day_was_written_is_null(
    warehouse: Warehouse, spark: SparkSession
) -> None:
    stage_lines(warehouse, spark, line())
    key = warehouse.staging.key(TRANSACTION_LINES, BUSINESS_DATE)
    with warehouse.store.reader(key) as stream:
        older = pq.ParquetFile(stream).read().drop_columns(["id_check"])
    with warehouse.store.writer(key) as stream:
        pq.write_table(older, stream)
    (row,) = warehouse.read(TRANSACTION_LINES, BUSINESS_DATE).collect()
    assert (row.id_check, row.transaction_id) == (None, "t1")


def test_the_run_that_published_a_day_last_is_told_from_those_before(settings: Settings) -> None:
    store = ObjectStore(settings.warehouse_uri)
    for run_id, hour in (("b", 3), ("a", 5), ("c", 4)):
        run = {"run_id": run_id, "published_at": datetime(2026, 11, 21, hour, tzinfo=UTC)}
        Warehouse(store, run_id).runs.write(BUSINESS_DATE, run)
    published = Warehouse(store, "reader").runs.published(BUSINESS_DATE)
    assert published is not None
    assert published["run_id"] == "a"
    assert Warehouse(store, "reader").runs.published(BUSINESS_DATE + timedelta(days=1)) is None


def test_the_tables_of_another_model_lie_below_the_warehouse(settings: Settings) -> None:
    rescored = Warehouse(ObjectStore(settings.warehouse_uri), "run").rescored("age_resnet50-3")
    assert rescored.published.location(MODEL_COMPARISON) == (
        f"{settings.warehouse_uri}/_rescored/age_resnet50-3/model_comparison/business_date=*/part-0.parquet"
    )


def test_the_days_before_are_read_without_the_day_itself_and_each_by_its_last_run(settings: Settings) -> None:
    store = ObjectStore(settings.warehouse_uri)
    runs = {(20, "tonight"): 9, (19, "early"): 9, (19, "late"): 12, (17, "other"): 9, (16, "too-old"): 9}
    for (day, run_id), hour in runs.items():
        business_date = BUSINESS_DATE.replace(day=day)
        published_at = datetime(2026, 11, 21, hour, tzinfo=UTC)
        run = {"run_id": run_id, "published_at": published_at}
        Warehouse(store, run_id).runs.write(business_date, run)
    trailing = Warehouse(store, "tonight").runs.trailing(BUSINESS_DATE, 3)
    assert trailing["run_id"].to_pylist() == ["late", "other"]
    assert trailing.schema.equals(PIPELINE_RUNS.schema)


def test_what_others_have_staged_for_a_date_is_dropped_and_the_rest_stays(settings: Settings) -> None:
    store = ObjectStore(settings.warehouse_uri)
    rows = REVIEWED_CASES.schema.empty_table().drop_columns(["run_id"])
    eve = BUSINESS_DATE - timedelta(days=1)
    for run_id, day in (("mine", BUSINESS_DATE), ("other", BUSINESS_DATE), ("other", eve)):
        Warehouse(store, run_id).stage_arrow(REVIEWED_CASES, day, rows)
    mine = Warehouse(store, "mine")
    mine.staging.drop_of_others({BUSINESS_DATE}, CHECK_RESULTS)
    assert len(list(store.list("_staging"))) == 6
    mine.staging.drop_of_others({BUSINESS_DATE})
    left = sorted({tuple(entry.key.split("/")[1:3]) for entry in store.list("_staging")})
    assert left == [("mine", f"business_date={BUSINESS_DATE}"), ("other", f"business_date={eve}")]


def test_the_run_of_a_published_table_is_that_of_its_rows(settings: Settings) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "run-1")
    empty = CHECK_RESULTS.schema.empty_table()
    assert warehouse.published.run_id(CHECK_RESULTS, BUSINESS_DATE) is None
    warehouse.published.write(CHECK_RESULTS, BUSINESS_DATE, empty)
    assert warehouse.published.run_id(CHECK_RESULTS, BUSINESS_DATE) is None
    one = {name: [None] for name in CHECK_RESULTS.column_names} | {"run_id": ["run-1"]}
    warehouse.published.write(CHECK_RESULTS, BUSINESS_DATE, pa.table(one, schema=empty.schema))
    assert warehouse.published.run_id(CHECK_RESULTS, BUSINESS_DATE) == "run-1"
