"""A published day from which a buyer is erased. Then the buyer's receipt and photo land again, and the day runs again.

Receipt t2 of till 03 goes: two lines, one that was rejected and one that could not be taken apart, a photo, a case and
its outcome. Another t2, of till 04, stays.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from click.testing import Result
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import app
from jobs.landing.deliveries import transactions_folder
from jobs.landing.tombstones import key_hash
from jobs.privacy.person_to_erase import Person, Request, find_person
from jobs.report.page_address import INDEX, page_key
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.dictionary import PUBLISHED_TABLES, TABLES_OF_A_RUN
from jobs.schemas.landed import CHECKOUT_PHOTOS
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings, read_settings
from jobs.steps import nightly_report
from jobs.steps.order import run_night, run_windows
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.day_of_an_erasure import HEADER, OF_THE_ERASED, OUTCOMES, land_day, photo_key
from tests.given.people_to_erase import publish
from tests.given.rows import BUSINESS_DATE

KEY = ("0042", "03", "t2")
CASE_OF_ERASED = Person(BUSINESS_DATE, KEY, frozenset()).case_id
CASE_OF_OTHER = Person(BUSINESS_DATE, ("0042", "03", "t1"), frozenset()).case_id
NEXT_DATE = BUSINESS_DATE + timedelta(days=1)


@dataclass(frozen=True)
class ErasedDay:
    """What the terminal said, and copies of the warehouse: published, erased, run again."""

    settings: Settings
    result: Result
    proof: dict[str, object]
    before: Path
    after: Path
    again: Path


def run_whole_night(settings: Settings, spark: SparkSession, run_id: str) -> None:
    run_night(warehouse_of(settings, run_id, spark), BUSINESS_DATE, settings, no_report)


def warehouse_of(settings: Settings, run_id: str, spark: SparkSession | None = None) -> Warehouse:
    return Warehouse(ObjectStore(settings.warehouse_uri), run_id, spark)


def folder_of(settings: Settings) -> Path:
    return Path(settings.warehouse_uri.removeprefix("file://"))


def erase_by_command(settings: Settings, *arguments: str) -> Result:
    uris = ["--landing-uri", settings.landing_uri, "--warehouse-uri", settings.warehouse_uri]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SparkSession, "stop", lambda session: None)  # the session is that of all tests
        return CliRunner().invoke(app, ["erase", *arguments, *uris])


def no_report(step: str, seconds: float) -> None:
    pass


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    return duckdb.sql(query.replace("warehouse/", f"{folder}/")).fetchall()


@pytest.fixture(scope="module")
def erased_day(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> ErasedDay:
    folder = tmp_path_factory.mktemp("erase")
    settings = read_settings(
        {},
        landing_uri=str(folder / "landing"),
        warehouse_uri=str(folder / "warehouse"),
        review_case_minimum_probability=1e-9,
        max_rejected_line_share=1.0,
    )
    landing = ObjectStore(settings.landing_uri)
    land_day(landing)
    outcomes = "".join(f"{case},2026-11-23T09:30:00Z,of_age\n" for case in (CASE_OF_ERASED, CASE_OF_OTHER))
    landing.write(OUTCOMES, f"case_id,reviewed_at,reviewer_outcome\n{outcomes}".encode())
    run_whole_night(settings, spark, "live")
    run_windows(warehouse_of(settings, "window"), [BUSINESS_DATE], settings, no_report)
    nightly_report.run(warehouse_of(settings, "report"), BUSINESS_DATE, settings)
    shutil.copytree(folder_of(settings), folder / "before")
    rescore_and_stage_by_others(folder_of(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHECKOUT_AGES_REVIEW_CASE_MINIMUM_PROBABILITY", "1e-9")
        result = erase_by_command(settings, "--transaction-id", "t2", "--till-id", "03", "--reason", "asked by letter")
    assert result.exit_code == 0, result.output
    shutil.copytree(folder_of(settings), folder / "after")
    land_day(landing)
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/late.csv", f"{HEADER}\n{OF_THE_ERASED}".encode())
    run_whole_night(settings, spark, "again")
    shutil.copytree(folder_of(settings), folder / "again")
    (proof,) = (folder / "after").glob("_erased/*/*/proof.json")
    return ErasedDay(
        settings, result, json.loads(proof.read_text()), folder / "before", folder / "after", folder / "again"
    )


def rescore_and_stage_by_others(warehouse: Path) -> None:
    """Leave copies of the day where another model's tables lie, and in the staging of a run that died."""
    for table in ("transaction_lines", "checkout_photos"):
        published = warehouse / table
        shutil.copytree(published, warehouse / "_rescored" / "age_resnet50-3" / table)
        staged = warehouse / "_staging" / "died" / f"business_date={BUSINESS_DATE}" / table
        shutil.copytree(published / f"business_date={BUSINESS_DATE}", staged)


def everything_in(folder: Path) -> str:
    """All texts of all Parquet files, as one text."""
    files = [str(path) for path in folder.rglob("*.parquet")]
    return "\n".join(str(duckdb.sql(f"FROM read_parquet('{file}')").fetchall()) for file in files)


LINES = "SELECT till_id, transaction_id, line_number FROM 'warehouse/transaction_lines/*/*.parquet' ORDER BY ALL"
REJECTED = "SELECT landed_line FROM 'warehouse/rejected_transaction_lines/*/*.parquet' ORDER BY ALL"
PHOTOS = "SELECT photo_key FROM 'warehouse/photo_age_estimates/*/*.parquet' ORDER BY ALL"
OTHER_PHOTOS = [(photo_key("09"),), (photo_key("11"),), (photo_key("10", "04"),)]


def test_the_rows_of_the_person_go_and_those_of_others_stay(erased_day: ErasedDay) -> None:
    assert rows(erased_day.after, LINES) == [("03", "t1", 1), ("03", "t3", 1), ("04", "t2", 1)]
    assert rows(erased_day.after, PHOTOS) == OTHER_PHOTOS
    ((rejected,),) = rows(erased_day.after, REJECTED)
    assert json.loads(rejected)["till_id"] == "04"
    assert len(rows(erased_day.before, REJECTED)) == 3


def test_every_table_of_the_day_is_of_the_run_that_left_the_person_out(erased_day: ErasedDay) -> None:
    for table in PUBLISHED_TABLES:
        assert {
            run for (run,) in rows(erased_day.after, f"SELECT run_id FROM 'warehouse/{table.name}/*/*.parquet'")
        } == {erased_day.proof["run_id"]}


def test_totals_are_those_of_the_day_before_less_the_person(erased_day: ErasedDay) -> None:
    totals = "SELECT sum(line_count), sum(net_amount)::VARCHAR FROM 'warehouse/age_group_purchases/*/*.parquet'"
    assert rows(erased_day.before, totals) == [(5, "11.75")]
    assert rows(erased_day.after, totals) == rows(erased_day.again, totals) == [(3, "5.25")]


def test_runs_say_how_many_lines_and_photos_were_erased(erased_day: ErasedDay) -> None:
    counts = """
        SELECT split_part(run_id, '-', 1), accepted_line_count, rejected_line_count, erased_line_count,
            landed_photo_count, erased_photo_count
        FROM 'warehouse/pipeline_runs/*/*.parquet' ORDER BY published_at
    """
    assert rows(erased_day.again, counts) == [
        ("live", 5, 3, 0, 4, 0),
        ("erase", 3, 1, 4, 3, 1),
        ("again", 3, 1, 8, 3, 1),
    ]


def test_the_landed_photo_goes_and_receipts_stay(erased_day: ErasedDay) -> None:
    assert erased_day.proof["deleted_photo_count"] == 1
    assert "t2" in everything_in(erased_day.before)


def test_no_file_of_the_warehouse_names_the_photo_or_the_case_any_more(erased_day: ErasedDay) -> None:
    for name in (photo_key("10"), str(CASE_OF_ERASED)):
        assert name in everything_in(erased_day.before)
        assert name not in everything_in(erased_day.after)
        assert name not in everything_in(erased_day.again)


def test_staging_of_dead_runs_and_the_tables_of_other_models_lose_the_day(erased_day: ErasedDay) -> None:
    assert not [path for path in erased_day.after.glob("_staging/**/*") if path.is_file()]
    assert not list(erased_day.after.glob("_rescored/**/*.parquet"))
    assert erased_day.proof["deleted_rescored_versions"] == ["age_resnet50-3"]


def test_the_page_of_the_day_and_the_index_are_those_of_the_day_without_the_person(erased_day: ErasedDay) -> None:
    for key in (page_key(BUSINESS_DATE), INDEX):
        receipts = [
            re.findall(r'<data value="(\d+)" data-figure="pipeline_runs.transaction_count"', (folder / key).read_text())
            for folder in (erased_day.before, erased_day.after)
        ]
        assert receipts == [["4"], ["3"]]


def test_windows_are_built_anew_without_the_outcome_of_the_case(erased_day: ErasedDay) -> None:
    cases = "SELECT case_id FROM 'warehouse/reviewed_cases/*/*.parquet' ORDER BY line_in_file"
    assert rows(erased_day.before, cases) == [(CASE_OF_ERASED,), (CASE_OF_OTHER,)]
    assert rows(erased_day.after, cases) == [(CASE_OF_OTHER,)]
    sales = "SELECT sum(sale_count) FROM 'warehouse/cashier_alcohol_audit/*/*.parquet'"
    assert (rows(erased_day.before, sales), rows(erased_day.after, sales)) == ([(2,)], [(1,)])
    assert erased_day.proof["rebuilt_windows"] == [str(BUSINESS_DATE)]


def test_a_night_that_is_run_again_leaves_the_person_out_though_receipt_and_photo_have_landed_anew(
    erased_day: ErasedDay,
) -> None:
    for query in (LINES, PHOTOS, REJECTED):
        assert rows(erased_day.again, query) == rows(erased_day.after, query)


def test_the_proof_says_what_was_there_what_is_published_and_that_nothing_is_found(erased_day: ErasedDay) -> None:
    day = f"business_date={BUSINESS_DATE}"
    found = erased_day.proof["rows_found_before"]
    assert isinstance(found, dict)
    assert {key: count for key, count in found.items() if not key.startswith("_")} == {
        f"alcohol_review_cases/{day}/part-0.parquet": 1,
        f"alcohol_sale_audit/{day}/part-0.parquet": 1,
        f"checkout_photos/{day}/part-0.parquet": 1,
        f"photo_age_estimates/{day}/part-0.parquet": 1,
        f"rejected_transaction_lines/{day}/part-0.parquet": 2,
        f"reviewed_cases/{day}/part-0.parquet": 1,
        f"transaction_ages/{day}/part-0.parquet": 1,
        f"transaction_lines/{day}/part-0.parquet": 2,
    }
    assert {key.split("/")[0] for key in found if key.startswith("_")} == {"_rescored", "_staging"}
    assert erased_day.proof["rows_found_after"] == {}
    assert erased_day.proof["reason"] == "asked by letter"
    files = erased_day.proof["published_files"]
    assert isinstance(files, dict)
    assert {key.split("/")[0] for key in files} >= {table.name for table in TABLES_OF_A_RUN}


def test_the_tombstone_holds_hashes_and_no_key(erased_day: ErasedDay) -> None:
    (tombstone,) = erased_day.after.glob("_erased/*/*/tombstone.json")
    kept = json.loads(tombstone.read_text())
    assert kept["transactions"] == [key_hash(BUSINESS_DATE, "transaction", *KEY)]
    assert kept["photos"] == [key_hash(BUSINESS_DATE, "photo", photo_key("10"))]
    for named in ("t2", "20261120T100030Z", str(CASE_OF_ERASED)):
        assert f'"{named}' not in tombstone.read_text()
        assert f'"{named}' not in json.dumps(erased_day.proof)


def test_the_terminal_says_what_went_and_where_the_proof_lies(erased_day: ErasedDay) -> None:
    said = erased_day.result.stdout
    assert "1 photos deleted from the landing; " in said
    assert f"_erased/business_date={BUSINESS_DATE}/{erased_day.proof['run_id']}/proof.json" in said
    assert "t2" not in said


def test_erasing_again_finds_the_tombstone_and_proves_it_once_more(erased_day: ErasedDay) -> None:
    store = ObjectStore(erased_day.settings.warehouse_uri)
    person = find_person(
        Warehouse(store, "erase"),
        ObjectStore(erased_day.settings.landing_uri),
        Request("t2", till_id="03", store_id="0042"),
    )
    assert person.tombstone is not None
    assert person.tombstone["run_id"] == erased_day.proof["run_id"]


def test_a_day_that_another_run_has_half_published_is_not_touched(settings: Settings) -> None:
    publish(settings, TRANSACTION_AGES, BUSINESS_DATE, dict(zip(TRANSACTION_KEY, KEY, strict=True)))
    publish(settings, CHECKOUT_PHOTOS, BUSINESS_DATE, {"photo_key": photo_key("10"), "run_id": "died"})
    warehouse = warehouse_of(settings, "live")
    warehouse.runs.write(BUSINESS_DATE, {"run_id": "live", "published_at": datetime.now(UTC)})
    refused = erase_by_command(settings, "--transaction-id", "t2")
    assert refused.exit_code == 2
    assert "published tables of 2026-11-20 are not all from run 'live': another run died while it" in refused.stderr
    assert not list(warehouse.store.list("_erased"))


def test_who_is_not_there_is_refused_before_spark_starts(settings: Settings, landing: ObjectStore) -> None:
    refused = erase_by_command(settings, "--transaction-id", "t9")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(
        "error: transaction 't9' is not in the tables of the 0 published days; check the id"
    )
