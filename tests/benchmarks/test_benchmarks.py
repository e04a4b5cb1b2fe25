from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jobs.local_spark import local_spark_environment
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks.contenders import CONTENDERS, chosen
from tests.benchmarks.figures import RATIOS, Spread, quarters, ratios, spread
from tests.benchmarks.job import photo_files
from tests.benchmarks.large_day import stage_large_day
from tests.benchmarks.measure_million import measured_million
from tests.benchmarks.memory import process_name
from tests.benchmarks.photos import drawn_photos, own_photos, photo_set
from tests.benchmarks.plan import Plan, photo_sets
from tests.given.rows import BUSINESS_DATE

REPOSITORY = Path(__file__).parents[2]


def test_a_spread_is_the_middle_round_and_how_far_the_others_lie_from_it() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(median=2.0, lowest=1.0, highest=3.0)
    assert spread([1.0, 2.0]) == Spread(median=1.5, lowest=1.0, highest=2.0)


def test_the_stage_is_compared_with_the_faster_of_two_forms() -> None:
    compared = ratios({"b": 60.0, "a": 80.0, "f-keras": 20.0, "f-fast": 40.0})

    assert compared["stage_local_to_engine"] == 0.75
    assert compared["stage_local_to_ray_data"] == 1.5


def test_a_ratio_is_none_where_one_of_its_contenders_is_missing() -> None:
    compared = ratios({"b": 60.0, "f-fast": 40.0})

    assert compared == dict.fromkeys(RATIOS)


def test_the_last_quarter_is_compared_with_the_second() -> None:
    assert quarters([9, 9, 10, 20, 30, 30, 30, 30]) == {
        "second_quarter_median": 15,
        "last_quarter_median": 30,
        "last_to_second": 2.0,
    }
    assert quarters([1, 2, 3])["last_to_second"] is None


def test_a_letter_chooses_all_forms_of_a_contender() -> None:
    assert chosen("f,b") == ["b", "b-before", "f-keras", "f-fast"]
    assert chosen(None) == [*CONTENDERS, "growth", "engines", "matching", "nights"]
    with pytest.raises(ValueError, match="no contender 'x'"):
        chosen("b,x")


def test_processes_are_named_by_what_they_are() -> None:
    assert process_name(["/usr/bin/java", "-cp", "x", "org.apache.spark.deploy.SparkSubmit"]) == "Spark's JVM"
    assert process_name(["ray::MapWorker(MapBatches(EstimatorActor)).submit"]) == "ray::MapWorker"
    assert process_name(["/usr/sbin/other", "-x"]) == "other"


def test_drawn_photos_differ_from_each_other_and_are_drawn_once(tmp_path: Path) -> None:
    photos = drawn_photos(tmp_path / "drawn", 3)
    contents = [photo.read_bytes() for photo in photos]
    (tmp_path / "drawn" / "000001.jpg").write_bytes(b"kept")
    again = [photo.read_bytes() for photo in drawn_photos(tmp_path / "drawn", 3)]

    assert len(set(contents)) == 3
    assert again == [contents[0], b"kept", contents[2]]


def test_a_photo_set_holds_just_the_photos_it_was_given(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.PNG", "c.txt", "d.jpeg"):
        (tmp_path / name).write_bytes(name.encode())

    folder = photo_set(own_photos(tmp_path, 2), tmp_path / "set")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "000000.jpg": b"a.jpg",
        "000001.png": b"b.PNG",
    }


def test_contenders_on_keras_take_the_first_of_the_same_photos(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(7):
        (images / f"{number}.jpg").write_bytes(b"%d" % number)
    plan = Plan(photos=4, keras_photos=2, warm_up_photos=1)

    with photo_sets(plan, tmp_path / "drawn", images, grows=False) as photos:
        timed, with_keras = (
            [path.read_bytes() for path in photo_files(str(folder))] for folder in (photos.photos, photos.keras_photos)
        )

    assert timed == [b"1", b"2", b"3", b"4"]
    assert with_keras == [b"1", b"2"]
    assert (photos.photo_count, photos.keras_photo_count) == (4, 2)


@pytest.mark.slow
def test_a_quick_benchmark_writes_the_promised_figures(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    places = ["--drawn", str(tmp_path / "drawn"), "--out", str(out)]
    choice = ["--quick", "--photos", "8", "--only", "a-prime,a-jpeg,b", *places]

    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *choice],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())
    assert figures.keys() >= {"ratios", "contenders", "growth", "engines", "matching", "nights", "setup", "machine"}
    assert figures["ratios"].keys() == RATIOS.keys()
    assert figures["setup"]["photos"] == figures["setup"]["keras_photos"] == 8
    assert figures["machine"]["packages"]["pyspark"]
    assert list(figures["contenders"]) == ["a-prime", "a-prime-before", "a-jpeg", "b", "b-before"]
    for contender in figures["contenders"].values():
        assert contender["photos_per_second"]["median"] > 0
        assert contender["peak_memory"]["all_processes_bytes"] > 100 * 1024 * 1024


def test_a_generated_day_is_staged_as_its_tables_declare(tmp_path: Path) -> None:
    warehouse = Warehouse(ObjectStore(tmp_path.as_uri()), "generated")
    stage_large_day(warehouse, BUSINESS_DATE, 20_000, "age_resnet50-4")
    lines, photos, estimates = (
        warehouse.staging.read_arrow(table, BUSINESS_DATE, table.column_names)
        for table in (TRANSACTION_LINES, CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES)
    )
    assert lines.num_rows == pytest.approx(20_000, rel=0.05)
    assert photos.num_rows == pytest.approx(2_000, rel=0.1)
    assert estimates["photo_key"].equals(photos["photo_key"])
    distributions = np.stack(estimates["age_distribution"].drop_null().to_numpy(zero_copy_only=False))
    assert distributions.shape == (pytest.approx(0.95 * photos.num_rows, rel=0.05), 101)
    assert np.allclose(distributions.sum(axis=1), 1)


@pytest.mark.slow
def test_a_day_of_tiny_photos_is_listed_and_estimated_alike_without_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", local_spark_environment(os.environ)["SPARK_SUBMIT_OPTS"])
    names = ("checkout_photos", "photo_age_estimates")
    measured = measured_million(2_000, (0, 1), Console(), names)
    rows = [step["rows"] for step in measured["steps"].values()]
    assert rows == [pytest.approx(2_000, rel=0.1)] * 2
    assert rows[0] == rows[1]
