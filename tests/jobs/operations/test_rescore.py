"""A published day of three buyers, rescored with the model before; one photo and all receipts have left the landing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from click.testing import Result
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import InputError
from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.render_readmes import OPERATIONS
from jobs.operations.rescore import rescore_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.schemas.dictionary import TABLES_OF_A_RUN
from jobs.settings import Settings, read_settings
from jobs.steps.order import run_night
from jobs.warehouse.catalogue import CATALOGUE
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE

NEXT_DATE = BUSINESS_DATE + timedelta(days=1)
LIVE_VERSION, OTHER_VERSION = "age_resnet50-4", "age_resnet50-3"
RECEIPTS = """\
transaction_id,store_id,till_id,cashier_id,closed_at,line_number,line_type,sku,product_category,quantity,net_amount,\
currency,is_alcohol,id_check
t1,0042,03,c1,2026-11-20T09:01:00Z,1,sale,s1,BEER,1,2.50,USD,true,not_asked
t2,0042,03,c1,2026-11-20T10:01:00Z,1,sale,s1,BEER,2,5.00,USD,true,not_asked
t3,0042,03,c1,2026-11-20T11:01:00Z,1,sale,s2,MILK,1,1.50,USD,false,
t4,0042,03,c1,2026-11-20T12:01:00Z,1,gift,s2,MILK,1,1.50,USD,false,
"""


@dataclass(frozen=True)
class RescoredDay:
    """Where a day was rescored twice, what the terminal said, and the live files before and after."""

    settings: Settings
    first: Result
    second: Result
    rows_after_first: list[list[tuple[object, ...]]]
    live_before: dict[Path, bytes]
    live_after: dict[Path, bytes]

    def rescored(self, query: str) -> list[tuple[object, ...]]:
        """Run a query on the rescored warehouse, which it calls `warehouse/`."""
        return rescored_rows(self.settings, query)


@pytest.fixture(scope="module")
def rescored_day(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> RescoredDay:
    folder = tmp_path_factory.mktemp("rescore")
    folders = {"landing_uri": str(folder / "landing"), "warehouse_uri": str(folder / "warehouse")}
    settings = read_settings({}, **folders, max_rejected_line_share=1.0)
    land_day(ObjectStore(settings.landing_uri))
    live = Warehouse(ObjectStore(settings.warehouse_uri), "live", spark)
    run_night(live, BUSINESS_DATE, settings.model_copy(update={"model_version": LIVE_VERSION}), lambda *step: None)
    live_before = live_files(settings)
    forget_receipts_and_a_photo(ObjectStore(settings.landing_uri))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SparkSession, "stop", lambda session: None)  # the session is that of all tests
        first = rescore(settings, "--to", str(NEXT_DATE))
        rows_after_first = [rescored_rows(settings, query) for query in QUERIES]
        second = rescore(settings)
    return RescoredDay(settings, first, second, rows_after_first, live_before, live_files(settings))


def land_day(landing: ObjectStore) -> None:
    """Three buyers of 20, 40 and 60 years, one photo each, and a receipt line that breaks the contract."""
    faces = synthetic_face_photos()([20, 40, 60], [1, 2, 3], 1)
    for hour, face in zip(("09", "10", "11"), faces, strict=True):
        landing.write(photo_key(hour), face.content)
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/receipts.csv", RECEIPTS.encode())
    for day_folder in (photos_folder(BUSINESS_DATE), transactions_folder(BUSINESS_DATE)):
        landing.write(f"{day_folder}/{SUCCESS}", b"")


def photo_key(hour: str) -> str:
    return f"{photos_folder(BUSINESS_DATE)}/store_id=0042/till_id=03/20261120T{hour}0030Z.jpg"


def forget_receipts_and_a_photo(landing: ObjectStore) -> None:
    landing.delete([photo_key("11"), f"{transactions_folder(BUSINESS_DATE)}/receipts.csv"])


def rescore(settings: Settings, *arguments: str) -> Result:
    uris = ["--landing-uri", settings.landing_uri, "--warehouse-uri", settings.warehouse_uri]
    days = ["--from", str(BUSINESS_DATE), "--to", str(BUSINESS_DATE)]
    model = ["--model-version", OTHER_VERSION]
    return CliRunner().invoke(app, ["rescore", *days, *model, *uris, *arguments])


def live_files(settings: Settings) -> dict[Path, bytes]:
    """All files of the warehouse but those of rescored models, and the catalogue, which comes to know them."""
    root = Path(settings.warehouse_uri.removeprefix("file://"))
    files = (path for path in root.rglob("*") if path.is_file() and not {"_rescored", CATALOGUE} & {*path.parts})
    return {path: path.read_bytes() for path in files}


def rescored_rows(settings: Settings, query: str) -> list[tuple[object, ...]]:
    root = f"{settings.warehouse_uri.removeprefix('file://')}/_rescored/{OTHER_VERSION}/"
    return duckdb.sql(query.replace("warehouse/", root)).fetchall()


ESTIMATES = (
    "SELECT photo_key, estimate_status, model_version FROM 'warehouse/photo_age_estimates/*/*.parquet' ORDER BY 1"
)
LINES = "SELECT transaction_id, net_amount::VARCHAR FROM 'warehouse/transaction_lines/*/*.parquet' ORDER BY 1"
REJECTED = "SELECT rejection_reason FROM 'warehouse/rejected_transaction_lines/*/*.parquet'"
COMPARISON = """
    SELECT measure, value, live_count, rescored_count, both_estimated_count, live_model_version, rescored_model_version
    FROM 'warehouse/model_comparison/*/*.parquet' ORDER BY ALL
"""
QUERIES = (ESTIMATES, LINES, REJECTED, COMPARISON)


def test_a_published_day_is_built_again_with_the_other_model_from_the_live_photos_and_lines(
    rescored_day: RescoredDay,
) -> None:
    assert rescored_day.first.exit_code == 0, rescored_day.first.output
    assert rescored_day.rescored(ESTIMATES) == [
        (photo_key("09"), "estimated", OTHER_VERSION),
        (photo_key("10"), "estimated", OTHER_VERSION),
        (photo_key("11"), "missing", OTHER_VERSION),
    ]
    assert rescored_day.rescored(LINES) == [("t1", "2.50"), ("t2", "5.00"), ("t3", "1.50")]
    assert len(rescored_day.rescored(REJECTED)) == 1


def test_live_tables_keep_their_bytes(rescored_day: RescoredDay) -> None:
    assert rescored_day.live_before == rescored_day.live_after
    assert sum(path.suffix == ".parquet" for path in rescored_day.live_before) == len(TABLES_OF_A_RUN)


def test_a_photo_that_has_gone_is_no_shift_of_the_model(rescored_day: RescoredDay) -> None:
    of_photos = [row[1:5] for row in rescored_day.rescored(COMPARISON) if row[0] == "estimate_status"]
    assert of_photos == [("estimated", 3, 2, 2), ("missing", 0, 1, 0)]
    assert "photos that are no longer in the landing: 1." in rescored_day.first.stdout


def test_the_comparison_counts_every_transaction_and_every_alcohol_sale_in_both_models(
    rescored_day: RescoredDay,
) -> None:
    totals = """
        SELECT measure, sum(live_count), sum(rescored_count), sum(live_share), round(sum(rescored_share), 9)
        FROM 'warehouse/model_comparison/*/*.parquet' GROUP BY ALL ORDER BY ALL
    """
    assert rescored_day.rescored(totals) == [
        ("age_group", 3, 3, 1.0, 1.0),
        ("audit_status", 2, 2, 1.0, 1.0),
        ("estimate_status", 3, 3, 1.0, 1.0),
    ]
    assert {row[5:] for row in rescored_day.rescored(COMPARISON)} == {(LIVE_VERSION, OTHER_VERSION)}


def test_a_second_rescore_gives_the_same_rows_and_both_stay_on_record(rescored_day: RescoredDay) -> None:
    assert rescored_day.second.exit_code == 0, rescored_day.second.output
    assert [rescored_day.rescored(query) for query in QUERIES] == rescored_day.rows_after_first
    runs = "SELECT model_version FROM 'warehouse/pipeline_runs/*/*.parquet'"
    assert rescored_day.rescored(runs) == [(OTHER_VERSION,), (OTHER_VERSION,)]


def test_a_day_that_is_not_published_is_named_and_skipped(rescored_day: RescoredDay) -> None:
    assert f"{NEXT_DATE} is skipped: it is not published in" in rescored_day.first.stdout
    assert rescored_day.rescored("SELECT count(*) FROM glob('warehouse/model_comparison/*/*.parquet')") == [(1,)]


def test_the_terminal_says_where_the_comparison_lies(rescored_day: RescoredDay) -> None:
    where = f"{rescored_day.settings.warehouse_uri}/_rescored/{OTHER_VERSION}/model_comparison/business_date=*"
    assert where in rescored_day.second.stdout
    assert all(measure in rescored_day.second.stdout for measure in ("age_group", "audit_status", "estimate_status"))


@pytest.mark.parametrize("query", re.findall(r"```sql\n([^`]*_rescored[^`]*)```", OPERATIONS.read_text()))
def test_the_queries_of_readme_run(rescored_day: RescoredDay, query: str) -> None:
    root = rescored_day.settings.warehouse_uri.removeprefix("file://")
    for statement in query.replace(".demo/warehouse", root).strip().split(";")[:-1]:
        assert duckdb.sql(statement).fetchall()


def test_a_live_day_that_is_published_anew_meanwhile_is_not_compared(
    rescored_day: RescoredDay, spark: SparkSession
) -> None:
    live = Warehouse(ObjectStore(rescored_day.settings.warehouse_uri), "again", spark)
    live_run = live.runs.published(BUSINESS_DATE)
    assert live_run

    def publish_anew(step: str, seconds: float) -> None:
        if step == "check_night":
            newer = {"run_id": "newer", "published_at": live_run["published_at"] + timedelta(hours=1)}
            live.runs.write(BUSINESS_DATE, live_run | newer)

    with pytest.raises(InputError, match="2026-11-20 was published again while it was rescored; rescore it again"):
        rescore_day(live, BUSINESS_DATE, rescored_day.settings, publish_anew)
    assert live.rescored(LIVE_VERSION).runs.published(BUSINESS_DATE) is None


def test_a_span_without_a_published_day_is_refused(settings: Settings) -> None:
    refused = rescore(settings)
    assert (refused.exit_code, refused.stderr.strip()) == (
        2,
        f"error: no day from 2026-11-20 to 2026-11-20 is published in '{settings.warehouse_uri}'; run its night first",
    )


def test_days_in_the_wrong_order_are_refused(settings: Settings) -> None:
    refused = rescore(settings, "--from", str(NEXT_DATE))
    assert (refused.exit_code, refused.stderr.strip()) == (
        2,
        "error: --from 2026-11-21 lies after --to 2026-11-20; name the earlier day first",
    )


def test_an_unknown_model_version_is_refused(settings: Settings) -> None:
    refused = rescore(settings, "--model-version", "age_resnet50-99")
    assert refused.exit_code == 2
    assert "error: unknown model version 'age_resnet50-99'; known versions: age_resnet50-3" in refused.stderr
