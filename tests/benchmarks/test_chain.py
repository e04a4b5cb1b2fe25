from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from jobs.errors import InputError
from jobs.landing.deliveries import landed_photo_batches, missing_markers
from jobs.local_spark import local_spark_environment
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.steps.order import REPORT, STEPS
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks import chain_day, measure_chain
from tests.benchmarks.chain_day import land, stage_estimates
from tests.benchmarks.chain_readers import DUCKDB, PANDAS, QUESTIONS, SPARK, read
from tests.benchmarks.chain_steps import ESTIMATES, LANDING, Applications, ChainStep, chain_steps
from tests.benchmarks.chain_table import ChainRow, ChainTable
from tests.benchmarks.large_day import estimates_of, lines_of, midnight_of, photos_of, store_days
from tests.benchmarks.measure_chain import ChainSize, measured_chain
from tests.benchmarks.measure_million import land_receipts, receipts_key
from tests.benchmarks.measure_nights import BUSINESS_DATE, RUN_ID
from tests.benchmarks.measured_run import MeasuredRun, StepError, folder_bytes, measured_run
from tests.benchmarks.memory import (
    EXECUTOR,
    JVM,
    PYTHON,
    SPARK_EXECUTOR,
    SPARK_JVM,
    SPARK_WORKER,
    WORKER,
    MemorySamples,
    ProcessMemory,
)
from tests.benchmarks.plan import Plan, with_counts
from tests.benchmarks.spark_events import spilled_bytes

TWO_STORES = 4_000
MIDNIGHT = midnight_of(BUSINESS_DATE)
ROW = ChainRow(
    photos=2_000,
    part="night",
    step="transaction_lines",
    seconds=1.5,
    cpu_seconds=2.5,
    python_bytes=1,
    jvm_bytes=None,
    executor_bytes=None,
    worker_bytes=None,
    all_bytes=1,
    spilled_bytes=None,
    temporary_bytes=0,
    cores=2,
    driver_memory="3g",
    measured_on="2026-11-20",
)


@pytest.fixture
def landing(tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "landing").as_uri())


def listed(landing: ObjectStore) -> dict[str, tuple[str, int]]:
    rows = (row for batch in landed_photo_batches(landing, BUSINESS_DATE) for row in batch.to_pylist())
    return {row["photo_key"]: (row["etag"], row["size_bytes"]) for row in rows}


def test_landed_photos_have_names_sizes_and_etags_of_their_own_and_take_no_space(
    tmp_path: Path, landing: ObjectStore
) -> None:
    land(landing, TWO_STORES)
    photos = listed(landing)
    keys = [key for day, _ in store_days(TWO_STORES) for key in photos_of(day, MIDNIGHT)["photo_key"].to_pylist()]
    assert sorted(photos) == keys
    assert len({etag for etag, _ in photos.values()}) == len(keys)
    assert len({size for _, size in photos.values()}) > len(keys) / 2
    assert folder_bytes(tmp_path / "landing" / "photos") == 0
    assert not missing_markers(landing, BUSINESS_DATE)


def test_a_landing_that_was_cut_short_goes_on_with_the_store_that_lacks_its_receipts(
    landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(chain_day, "land_receipts", _broken_off_at("0002"))
        with pytest.raises(KeyboardInterrupt):
            land(landing, TWO_STORES)
    assert missing_markers(landing, BUSINESS_DATE)
    first_store = {key: tag for key, tag in listed(landing).items() if "store_id=0001" in key}
    receipts_before = landing.read(receipts_key("0001"))
    land(landing, TWO_STORES)
    assert {key: tag for key, tag in listed(landing).items() if "store_id=0001" in key} == first_store
    assert landing.read(receipts_key("0001")) == receipts_before
    assert landing.exists(receipts_key("0002"))
    assert not missing_markers(landing, BUSINESS_DATE)


def _broken_off_at(last_store: str) -> object:
    def broken_off(landing: ObjectStore, store_id: str, lines: object) -> None:
        if store_id == last_store:
            raise KeyboardInterrupt
        land_receipts(landing, store_id, lines)

    return broken_off


def test_more_photos_than_the_disk_has_inodes_are_refused(
    landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_favail=3_000))
    with pytest.raises(InputError, match="has room for 3,000 more files, and 4,000 photos are to be landed"):
        land(landing, TWO_STORES)


def test_written_estimates_are_of_the_listed_photos_and_count_as_inferred(tmp_path: Path) -> None:
    warehouse = Warehouse(ObjectStore(tmp_path.as_uri()), RUN_ID)
    warehouse.staging.stage_batches(
        CHECKOUT_PHOTOS, BUSINESS_DATE, (photos_of(day, MIDNIGHT) for day, _ in store_days(TWO_STORES))
    )
    stage_estimates(warehouse, TWO_STORES)
    photos, estimates = (
        warehouse.staging.read_arrow(table, BUSINESS_DATE, table.column_names)
        for table in (CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES)
    )
    assert estimates.select(["photo_key", "etag"]).equals(photos.select(["photo_key", "etag"]))
    assert estimates["inferred_run_id"].unique().to_pylist() == [RUN_ID]
    assert len(estimates["content_sha256"].unique()) == photos.num_rows
    assert estimates["face_side_pixels"].null_count == estimates["age_distribution"].null_count > 0


def test_estimates_of_photos_that_were_not_listed_are_refused(tmp_path: Path) -> None:
    warehouse = Warehouse(ObjectStore(tmp_path.as_uri()), RUN_ID)
    first_store = (photos_of(day, MIDNIGHT) for day, _ in store_days(2_000))
    warehouse.staging.stage_batches(CHECKOUT_PHOTOS, BUSINESS_DATE, first_store)
    with pytest.raises(RuntimeError, match=r"does not list the photos that follow 'photos/.*store_id=0002"):
        stage_estimates(warehouse, TWO_STORES)


def test_a_day_is_drawn_alike_each_time() -> None:
    first, again = ([lines_of(day, MIDNIGHT, random) for day, random in store_days(TWO_STORES)] for _ in range(2))
    assert first == again
    (day, random), (same_day, same_random) = (next(store_days(2_000)) for _ in range(2))
    estimates = estimates_of(day, MIDNIGHT, "age_resnet50-4", random)
    assert estimates == estimates_of(same_day, MIDNIGHT, "age_resnet50-4", same_random)


def test_rows_stay_in_their_file_and_those_of_a_lost_size_are_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for row in (ROW, replace(ROW, step="age_mixes"), replace(ROW, photos=4_000)):
        ChainTable(file).add(row)
    assert ChainTable(file).steps_of(2_000) == {"transaction_lines", "age_mixes"}
    ChainTable(file).forget(2_000)
    assert ChainTable(file).rows == [replace(ROW, photos=4_000)]


def test_a_night_has_all_steps_and_inference_as_a_constant_to_one_million_only(tmp_path: Path) -> None:
    small, large = (list(chain_steps(photos, Applications(2, tmp_path))) for photos in (1_000_000, 3_000_000))
    assert {step.name for step in small} == {LANDING, ESTIMATES, *STEPS, REPORT}
    assert {step.name for step in small} - {step.name for step in large} == {"photo_age_estimates"}
    commands = {step.name: step.command for step in large}
    assert Path(commands["transaction_lines"][0]).name == "spark-submit"
    assert commands["check_night"][1:4] == ("-m", "jobs.run", "check_night")


def test_spilled_bytes_are_those_of_all_tasks(tmp_path: Path) -> None:
    ends = [{"Event": "SparkListenerTaskEnd", "Task Metrics": {"Disk Bytes Spilled": size}} for size in (5, 7)]
    killed = {"Event": "SparkListenerTaskEnd", "Task Metrics": None}
    other = {"Event": "SparkListenerJobEnd"}
    lines = [json.dumps(event, separators=(",", ":")) for event in (*ends, killed, other)]
    (tmp_path / "local-1").write_text("\n".join(lines) + "\n")
    assert spilled_bytes(tmp_path) == 12


def test_the_largest_process_of_each_role_is_told() -> None:
    def process(name: str, size: int) -> ProcessMemory:
        return ProcessMemory(name, name == SPARK_WORKER, size, size, 0.0)

    first = {1: process(SPARK_JVM, 30), 2: process("python3.11", 20), 3: process(SPARK_WORKER, 10)}
    samples = MemorySamples([(0.0, first), (1.0, {3: process(SPARK_WORKER, 15), 4: process(SPARK_EXECUTOR, 40)})])
    assert [samples.largest_bytes(role) for role in (JVM, EXECUTOR, PYTHON, WORKER)] == [30, 40, 20, 15]
    assert MemorySamples().largest_bytes(JVM) is None


def test_a_command_is_measured_with_its_temporary_files_and_a_failure_shows_its_log(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = f"head -c 1000000 /dev/urandom > {temporary}/file; sleep 1; rm {temporary}/file"
    run = measured_run("writing", ["bash", "-c", script], os.environ, (0,), tmp_path / "log", temporary)
    assert run.peak_temporary_bytes >= 1_000_000
    assert run.seconds > 1
    with pytest.raises(StepError, match="step 'failing' ended with 3:\nso it goes"):
        measured_run("failing", ["bash", "-c", "echo so it goes; exit 3"], os.environ, (0,), tmp_path / "log")


@pytest.fixture(scope="module")
def lines_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Receipt lines of four stores, which take two row groups."""
    warehouse = Warehouse(ObjectStore(tmp_path_factory.mktemp("lines").as_uri()), RUN_ID)
    lines = (lines_of(day, MIDNIGHT, random) for day, random in store_days(8_000))
    warehouse.staging.stage_batches(TRANSACTION_LINES, BUSINESS_DATE, lines)
    return Path(warehouse.staging.location(TRANSACTION_LINES, BUSINESS_DATE).removeprefix("file://"))


@pytest.mark.parametrize("question", QUESTIONS)
def test_duckdb_and_pandas_read_the_same_money_and_no_more_than_the_file(lines_file: Path, question: str) -> None:
    by_duckdb, by_pandas = (read(engine, question, lines_file, "0002") for engine in (DUCKDB, PANDAS))
    assert by_duckdb["total"] == by_pandas["total"] > 0
    for answer in (by_duckdb, by_pandas):
        assert 0 < answer["read_bytes"] < lines_file.stat().st_size


def test_a_question_about_one_store_reads_less(lines_file: Path) -> None:
    assert read(DUCKDB, "store", lines_file, "0001")["total"] < read(DUCKDB, "categories", lines_file, "0001")["total"]


def test_several_numbers_of_photos_are_for_the_chain_alone() -> None:
    assert with_counts(Plan(), (1_000, 3_000), None, ["chain"]).chain == (1_000, 3_000)
    assert with_counts(Plan(), (), None, ["chain"]).chain == (1_000_000, 3_000_000, 10_000_000)
    assert with_counts(Plan(), (5,), None, ["million"]).million == 5
    with pytest.raises(ValueError, match="several numbers of photos are for 'chain' alone"):
        with_counts(Plan(), (1_000, 3_000), None, ["a"])


STEPS_RUN = (LANDING, "checkout_photos", ESTIMATES, "transaction_lines", f"{DUCKDB}: store", f"{SPARK}: store")
"""Some of each kind. A whole night of 2,000 photos would start Spark ten times to show the same."""


@pytest.mark.slow
def test_a_chain_cut_short_goes_on_where_it_ended_and_has_each_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", local_spark_environment(os.environ)["SPARK_SUBMIT_OPTS"])
    for name in ("chain_steps", "reader_steps"):
        monkeypatch.setattr(measure_chain, name, _only(STEPS_RUN, getattr(measure_chain, name)))
    monkeypatch.setattr(ChainSize, "_lines_file", property(_staged_lines))  # nothing is published
    with monkeypatch.context() as patch:
        patch.setattr(measure_chain, "measured_run", _cut_short_at("transaction_lines"))
        with pytest.raises(KeyboardInterrupt):
            measured_chain((2_000,), (0, 1), Console(), tmp_path)
    before = ChainTable(tmp_path / "rows.jsonl").rows
    assert [row.step for row in before] == list(STEPS_RUN[:3])

    rows = measured_chain((2_000,), (0, 1), Console(), tmp_path)

    assert rows[: len(before)] == [vars(row) for row in before]
    assert [row["step"] for row in rows] == list(STEPS_RUN)
    by_step = {row["step"]: row for row in rows}
    assert by_step["transaction_lines"]["rows"] == pytest.approx(20_000, rel=0.1)
    assert by_step["checkout_photos"]["rows"] == by_step[ESTIMATES]["rows"] == pytest.approx(2_000, rel=0.1)
    assert by_step["transaction_lines"]["jvm_bytes"] > 100 * 2**20
    assert by_step["transaction_lines"]["executor_bytes"] > 100 * 2**20
    assert by_step[f"{SPARK}: store"]["read_bytes"] > 0
    assert not (tmp_path / "2000").exists()
    assert measured_chain((2_000,), (0, 1), Console(), tmp_path) == rows


def _staged_lines(size: ChainSize) -> Path:
    staging = Warehouse(ObjectStore((size.folder / "warehouse").as_uri()), RUN_ID).staging
    return Path(staging.location(TRANSACTION_LINES, BUSINESS_DATE).removeprefix("file://"))


def _only(names: tuple[str, ...], steps_of: Callable[..., Iterator[ChainStep]]) -> Callable[..., Iterator[ChainStep]]:
    return lambda *arguments: (step for step in steps_of(*arguments) if step.name in names)


def _cut_short_at(last_step: str) -> object:
    def run(name: str, *arguments: Any) -> MeasuredRun:
        if name == last_step:
            raise KeyboardInterrupt
        return measured_run(name, *arguments)

    return run
