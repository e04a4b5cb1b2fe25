"""One night on a sample day, on local disk and on S3, with DuckDB as the reader."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import Browser
from pyspark.sql import SparkSession

from jobs.errors import FailedCheckError, InputError, NotLandedError
from jobs.operations.render_readmes import ANALYST
from jobs.operations.sample_day.sample_day import write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.report.page_address import page_key
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, CASHIER_ALCOHOL_AUDIT, REVIEW_PRECISION
from jobs.schemas.buyers import AGE_GROUP_PURCHASES
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.schemas.table import Table
from jobs.settings import Settings, read_settings
from jobs.steps import nightly_report
from jobs.steps.order import run_night, run_windows
from jobs.steps.rules.night_rules import Rule
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at
from tests.report_numbers import QUERIES, found, said
from tests.servers.duckdb_s3 import connect_over_s3
from tests.servers.s3_server import S3_ENVIRONMENT
from tests.worked_questions import answer_of, worked_questions

pytestmark = pytest.mark.slow

MAY_FIND_NOTHING = (
    "Category manager: what should people of 18 to 24 be offered?",
    "Compliance officer: which cashiers' sales should a person look at first?",
)


def no_report(step: str, seconds: float) -> None:
    pass


def run_whole_night(spark: SparkSession, settings: Settings, run_id: str) -> None:
    run_night(Warehouse(ObjectStore(settings.warehouse_uri), run_id, spark), BUSINESS_DATE, settings, no_report)


def land_sample_day(settings: Settings) -> None:
    landing = ObjectStore(settings.landing_uri)
    write_sample_day(landing, BUSINESS_DATE, synthetic_face_photos(), "synthetic", 1, settings.store_time_zone)


@pytest.fixture(scope="module")
def local_night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("night")
    settings = read_settings({}, landing_uri=str(folder / "landing"), warehouse_uri=str(folder / "warehouse"))
    land_sample_day(settings)
    run_whole_night(spark, settings, "first")
    run_windows(Warehouse(ObjectStore(settings.warehouse_uri), "first-window"), [BUSINESS_DATE], settings, no_report)
    return settings


def with_own_warehouse(settings: Settings, folder: Path) -> Settings:
    """Copy the warehouse, so that tests do not see each other's publications."""
    shutil.copytree(settings.warehouse_uri.removeprefix("file://"), folder, dirs_exist_ok=True)
    return settings.model_copy(update={"warehouse_uri": folder.as_uri()})


@pytest.fixture
def late_files(local_night: Settings) -> Iterator[None]:
    """A photo and a receipt that are in the landing until the test ends."""
    beer = (
        "transaction_id,store_id,till_id,cashier_id,closed_at,line_number,line_type,sku,product_category,quantity,"
        "net_amount,currency,is_alcohol,id_check\n"
        f"late,9999,01,late-cashier,{at('18:30:20').isoformat()},1,sale,s1,BEERS/ALES,1,2.50,USD,true,not_asked\n"
    )
    (face,) = synthetic_face_photos()([30], [1], 7)
    files = {
        f"transactions/business_date={BUSINESS_DATE}/late.csv": beer.encode(),
        f"photos/business_date={BUSINESS_DATE}/store_id=9999/till_id=01/20261120T183010.000Z.jpg": face.content,
    }
    landing = ObjectStore(local_night.landing_uri)
    for key, content in files.items():
        landing.write(key, content)
    yield
    landing.delete(files)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def table_rows(connection: duckdb.DuckDBPyConnection, warehouse_uri: str, table: Table) -> list[tuple[object, ...]]:
    """Return all rows of a published table, without columns that always differ between runs."""
    by_nature = ("run_id", "inferred_run_id", "landed_at", "etag")
    columns = ", ".join(f'"{name}"' for name in table.column_names if name not in by_nature)
    files = f"{warehouse_uri.removeprefix('file://')}/{table.name}/business_date={BUSINESS_DATE}/*.parquet"
    return connection.sql(f"SELECT {columns} FROM read_parquet('{files}') ORDER BY ALL").fetchall()


def local_table(settings: Settings, table: Table) -> str:
    return f"'{settings.warehouse_uri.removeprefix('file://')}/{table.name}/*/*.parquet'"


def test_sums_over_age_groups_equal_the_accepted_lines_to_the_cent(
    local_night: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    lines, purchases = (local_table(local_night, table) for table in (TRANSACTION_LINES, AGE_GROUP_PURCHASES))
    logged = connection.sql(f"SELECT count(*), sum(quantity), sum(net_amount) FROM {lines}").fetchone()
    summed = connection.sql(f"SELECT sum(line_count), sum(quantity), sum(net_amount) FROM {purchases}").fetchone()
    assert logged == summed
    assert logged is not None
    assert logged[2] > Decimal(100)


def test_every_photo_landed_is_a_row_and_every_unusable_one_has_a_reason(
    local_night: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    folder = Path(local_night.landing_uri.removeprefix("file://"), "photos")
    landed = sum(path.is_file() and path.name != "_SUCCESS" for path in folder.rglob("*"))
    estimates = local_table(local_night, PHOTO_AGE_ESTIMATES)
    counts = connection.sql(f"""
        SELECT count(*), count(*) FILTER (estimate_status <> 'estimated'), count(estimate_reason) FROM {estimates}
    """).fetchone()
    assert counts is not None
    assert counts[0] == landed
    assert counts[1] == counts[2] > 0


def test_every_receipt_line_landed_is_accepted_or_rejected(
    local_night: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    accepted, rejected, run = (
        local_table(local_night, table) for table in (TRANSACTION_LINES, REJECTED_TRANSACTION_LINES, PIPELINE_RUNS)
    )
    counts = connection.sql(f"SELECT (SELECT count(*) FROM {accepted}), (SELECT count(*) FROM {rejected})").fetchone()
    recorded = connection.sql(f"SELECT accepted_line_count, rejected_line_count FROM {run}").fetchone()
    assert counts == recorded
    assert counts is not None
    assert counts[1] > 0


@pytest.mark.parametrize(
    "query",
    re.findall(r"```sql\n(.*?)```", ANALYST.read_text(), re.DOTALL),
)
def test_the_queries_of_the_analysts_page_run(local_night: Settings, tmp_path: Path, query: str) -> None:
    on_this_night = query.replace(".demo/warehouse", local_night.warehouse_uri.removeprefix("file://"))
    on_this_night = on_this_night.replace(".demo/", f"{tmp_path}/")
    for statement in on_this_night.strip().split(";")[:-1]:
        assert duckdb.execute(statement).fetchall() is not None


@pytest.mark.parametrize("question", worked_questions())
def test_the_worked_questions_have_an_answer(local_night: Settings, question: str) -> None:
    answer = answer_of(worked_questions()[question], local_night.warehouse_uri)
    assert answer or question in MAY_FIND_NOTHING


def test_the_report_of_the_night_says_what_the_tables_say(local_night: Settings, browser: Browser) -> None:
    nightly_report.run(Warehouse(ObjectStore(local_night.warehouse_uri), "report"), BUSINESS_DATE, local_night)
    folder = local_night.warehouse_uri.removeprefix("file://")
    with browser.new_context() as context:
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"file://{folder}/{page_key(BUSINESS_DATE)}")
        said_by_page = {figure: said(page, figure) for figure in QUERIES}
    assert said_by_page == {figure: pytest.approx(found(folder, BUSINESS_DATE, figure)) for figure in QUERIES}
    assert complaints == []
    assert len(requests) == 1


def test_a_day_run_twice_equals_a_day_run_once_and_infers_nothing_again(
    local_night: Settings, spark: SparkSession, connection: duckdb.DuckDBPyConnection
) -> None:
    warehouse = Warehouse(ObjectStore(local_night.warehouse_uri), "reader")
    once = {table: table_rows(connection, local_night.warehouse_uri, table) for table in NIGHT_TABLES}
    first = warehouse.runs.published(BUSINESS_DATE)
    run_whole_night(spark, local_night, "second")
    second = warehouse.runs.published(BUSINESS_DATE)
    assert once == {table: table_rows(connection, local_night.warehouse_uri, table) for table in NIGHT_TABLES}
    assert first is not None
    assert second is not None
    assert 0 < first["inferred_photo_count"] <= first["landed_photo_count"]
    assert first["inferred_photos_per_second"] > 0
    assert (first["taken_over_photo_count"], second["inferred_photo_count"]) == (0, 0)
    assert second["taken_over_photo_count"] >= first["inferred_photo_count"]
    assert (second["previous_run_id"], second["changed_tables"]) == (first["run_id"], [])


def test_what_reviewers_find_in_the_listed_cases_becomes_the_precision_of_the_list(
    local_night: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    listed = table_rows(connection, local_night.warehouse_uri, ALCOHOL_REVIEW_CASES)
    cases = f"{local_night.warehouse_uri}/alcohol_review_cases/business_date={BUSINESS_DATE}/part-0.parquet"
    form = connection.sql(f"""
        SELECT case_id, '2026-11-23T09:30:00Z' AS reviewed_at,
            if(review_rank = 1, 'under_age', 'of_age') AS reviewer_outcome
        FROM read_parquet('{cases}') ORDER BY review_rank""")
    filled_in = "\n".join(["case_id,reviewed_at,reviewer_outcome", *(",".join(row) for row in form.fetchall())])
    landing = ObjectStore(local_night.landing_uri)
    landing.write(f"reviewed_cases/business_date={BUSINESS_DATE}/monday.csv", filled_in.encode())
    warehouse = Warehouse(ObjectStore(local_night.warehouse_uri), "window")
    run_windows(warehouse, [BUSINESS_DATE], local_night, no_report)
    columns = ["probability_band", "listed_case_count", "judged_case_count", "under_age_case_count"]
    precision = warehouse.published.read_arrow(REVIEW_PRECISION, BUSINESS_DATE, columns)
    assert precision is not None
    assert ("all", len(listed), len(listed), 1) in [tuple(row.values()) for row in precision.to_pylist()]


@pytest.mark.usefixtures("late_files")
def test_photos_and_lines_that_come_late_restate_the_day_and_its_window(
    local_night: Settings, spark: SparkSession, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    settings = with_own_warehouse(local_night, tmp_path)
    window_before = table_rows(connection, settings.warehouse_uri, CASHIER_ALCOHOL_AUDIT)
    reader = Warehouse(ObjectStore(settings.warehouse_uri), "reader")
    before = reader.runs.published(BUSINESS_DATE)
    run_whole_night(spark, settings, "late")
    run = reader.runs.published(BUSINESS_DATE)
    assert before is not None
    assert run is not None
    assert (run["previous_run_id"], run["inferred_photo_count"]) == (before["run_id"], 1)
    assert {"checkout_photos", "transaction_lines", "alcohol_sale_audit"} <= set(run["changed_tables"])
    assert "rejected_transaction_lines" not in run["changed_tables"]
    run_windows(Warehouse(ObjectStore(settings.warehouse_uri), "late-window"), [BUSINESS_DATE], settings, no_report)
    window = table_rows(connection, settings.warehouse_uri, CASHIER_ALCOHOL_AUDIT)
    assert len(window) == len(window_before) + 1


def test_a_failed_check_publishes_nothing(
    spark: SparkSession, settings: Settings, landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_empty_day(landing)
    monkeypatch.setattr("jobs.steps.check_night.RULES", (Rule("a rule", "fail", "SELECT 'broken'"),))
    with pytest.raises(FailedCheckError, match="nothing is published for 2026-11-20: a rule: broken"):
        run_whole_night(spark, settings, "failed")
    assert not Path(settings.warehouse_uri.removeprefix("file://"), "transaction_lines").exists()


def test_an_empty_day_publishes_empty_tables(
    spark: SparkSession, settings: Settings, landing: ObjectStore, connection: duckdb.DuckDBPyConnection
) -> None:
    land_empty_day(landing)
    run_whole_night(spark, settings, "empty")
    assert all(table_rows(connection, settings.warehouse_uri, table) == [] for table in NIGHT_TABLES)
    (warnings,) = connection.sql(f"SELECT warnings FROM {local_table(settings, PIPELINE_RUNS)}").fetchone() or ()
    assert warnings == ["the day has photos: none is delivered", "the day has receipts: no line is valid"]


def test_a_day_that_has_not_landed_is_not_run(spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(NotLandedError, match=r"missing file://.*/photos/business_date=2026-11-20/_SUCCESS and file://"):
        run_whole_night(spark, settings, "early")


def test_an_unknown_model_version_is_refused_and_nothing_is_published(
    spark: SparkSession, settings: Settings, landing: ObjectStore
) -> None:
    land_empty_day(landing)
    with pytest.raises(InputError, match="unknown model version 'age_resnet50-99'; known versions: age_resnet50-3"):
        run_whole_night(spark, settings.model_copy(update={"model_version": "age_resnet50-99"}), "unknown")
    assert not Path(settings.warehouse_uri.removeprefix("file://"), "photo_age_estimates").exists()


def test_a_night_on_s3_gives_the_tables_of_the_local_night(
    local_night: Settings, spark: SparkSession, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    settings = read_settings({}, landing_uri=f"{s3_bucket}/landing", warehouse_uri=f"{s3_bucket}/warehouse")
    land_sample_day(settings)
    run_whole_night(spark, settings, "on-s3")
    with connect_over_s3() as over_s3, duckdb.connect() as local:
        for table in NIGHT_TABLES:
            assert table_rows(over_s3, settings.warehouse_uri, table) == table_rows(
                local, local_night.warehouse_uri, table
            )


def land_empty_day(landing: ObjectStore) -> None:
    for kind in ("photos", "transactions"):
        landing.write(f"{kind}/business_date={BUSINESS_DATE}/_SUCCESS", b"")


def test_other_age_groups_restate_a_day_and_infer_nothing(
    local_night: Settings, spark: SparkSession, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    settings = with_own_warehouse(local_night, tmp_path).model_copy(update={"age_group_lower_bounds_years": (0, 30)})
    run_whole_night(spark, settings, "other-bands")
    restated = Warehouse(ObjectStore(settings.warehouse_uri), "reader").runs.published(BUSINESS_DATE)
    assert restated is not None
    assert restated["inferred_photo_count"] == 0
    purchases, purchases_before = (local_table(each, AGE_GROUP_PURCHASES) for each in (settings, local_night))
    groups = connection.sql(f"SELECT DISTINCT age_group FROM {purchases} ORDER BY 1").fetchall()
    assert groups == [("0-29",), ("30+",), ("unknown",)]
    sums = "SELECT sum(net_amount), round(sum(estimated_net_amount), 4)"
    assert (
        connection.sql(f"{sums} FROM {purchases}").fetchall()
        == connection.sql(f"{sums} FROM {purchases_before}").fetchall()
    )
