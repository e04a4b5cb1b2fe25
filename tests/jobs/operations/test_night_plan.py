from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import InputError
from jobs.operations.night_plan import DEFAULT_RATES, Day, Rates, in_words, night_plan, read_rates, reckoned_seconds

RATES = Rates(
    machine="a machine of round numbers",
    measured_on="2026-11-20",
    photos_per_core_second=50,
    listed_photos_per_second=1_000,
    start_seconds=100,
    seconds_per_million_lines=60,
    bytes_per_photo=1024,
    bytes_per_line=1024,
    largest_photo_count=1_000_000,
    largest_line_count=10_000_000,
)


def test_cores_are_what_inference_takes_in_the_time_that_all_else_leaves() -> None:
    plan = night_plan(Day(500_000, 100, 1, lines_per_photo=4), RATES)
    # 500 s of listing, 100 s of starts and 120 s for two million lines leave 2,880 s, of which four fifths are planned
    assert plan.cores == math.ceil(500_000 / 50 / 2_304) == 5
    assert (plan.listing_seconds, plan.tables_seconds, plan.inference_seconds) == (500, 220, 2_000)
    assert plan.seconds == 2_720
    assert (plan.executors, plan.executor_heap_gib, plan.executor_gib, plan.driver_gib) == (2, 2, 8, 1)
    assert plan.warehouse_gib_per_day == 2_500_000 * 1024 / 1024**3
    assert plan.temporary_gib == 2_000_000 * 200 / 1024**3
    assert plan.landing_gib_per_day == 500_000 * 200_000 / 1024**3


@given(
    photos=st.integers(1_000, 1_000_000),
    hours=st.floats(1, 24),
    lines_per_photo=st.floats(0, 10),
    stores=st.integers(1),
)
def test_a_planned_night_ends_in_time_and_one_core_less_would_not_do(
    photos: int, hours: float, lines_per_photo: float, stores: int
) -> None:
    plan = night_plan(Day(photos, min(stores, photos), hours, lines_per_photo), RATES)
    assert plan.seconds <= hours * 3600
    fewer = plan.cores - 1
    left = (hours * 3600 - plan.listing_seconds - plan.tables_seconds) * 0.8
    assert fewer == 0 or photos / 50 / fewer > left


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["0", "5", "3"], "--photos-per-day is 0; give 1 or more"),
        (["1000", "-5", "3"], "--stores is -5; give 1 or more"),
        (["1000", "5", "0"], "--hours is 0: give more than 0 and at most 24, when the next night begins"),
        (["1000", "5", "nan"], "--hours is nan: give more than 0 and at most 24, when the next night begins"),
        (["3", "5", "1"], "--stores is 5, more than photos (3): correct one of them"),
        (
            ["30000000", "5", "4"],
            "a day of 30,000,000 photos and 300,000,000 receipt lines is larger than any measured (10,000,000 photos, "
            "100,000,000 lines): split the stores over 3 landings and warehouses or more, and plan one of them",
        ),
        (
            ["1000", "5", "1", "--lines-per-photo", "inf"],
            "--lines-per-photo is inf; give 0 or more",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_sentence_and_exit_code_2(arguments: list[str], sentence: str) -> None:
    photos, stores, hours, *more = arguments
    options = [f"--photos-per-day={photos}", f"--stores={stores}", f"--hours={hours}", *more]
    refused = CliRunner().invoke(app, ["plan", *options])
    assert (refused.exit_code, refused.stderr) == (2, f"error: {sentence}\n")


def test_a_night_that_no_number_of_cores_ends_in_time_is_refused() -> None:
    with pytest.raises(InputError, match=r"no number of cores ends a night .* in 0\.1 hours: all steps but inference"):
        night_plan(Day(1_000_000, 500, 0.1), RATES)


def test_measured_rates_are_read_from_their_file_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    with pytest.raises(InputError, match=r"rates\.json' cannot be read \(No such file or directory\): write it with"):
        read_rates(path)
    path.write_text(RATES.model_dump_json())
    assert read_rates(path) == RATES
    path.write_text('{"machine": "half"}')
    with pytest.raises(InputError, match=r"rates\.json' is not usable: measured_on: Field required; write it with"):
        read_rates(path)


def test_a_plan_says_what_to_set_and_what_the_rates_are_of(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(RATES.model_dump_json())
    options = ["--photos-per-day=200000", "--stores=300", "--hours=3", "--rates", str(path)]
    said = " ".join(CliRunner().invoke(app, ["plan", *options]).stdout.replace("│", " ").split())
    assert "spark.cores.max 1, spark.executor.cores 1, spark.executor.memory 1g, spark.driver.memory 1g" in said
    assert "a machine of round numbers, 2026-11-20" in said


def test_nights_on_more_cores_are_reckoned_and_said_not_to_be_measured() -> None:
    day = Day(500_000, 100, 4, lines_per_photo=4)
    # 500 s of listing, 100 s of starts and 120 s for two million lines, whatever the cores
    assert reckoned_seconds(day, RATES, 16) == 720 + 500_000 / 50 / 16
    assert reckoned_seconds(day, RATES, night_plan(day, RATES).cores) == night_plan(day, RATES).seconds
    words = dict(in_words(night_plan(day, RATES), day, RATES))
    assert "reckoned, not measured" in words
    assert (words["  night on 16 cores"], words["  night on 256 cores"]) == ("0.37 hours", "0.21 hours")


@pytest.mark.parametrize(
    ("photos", "words"),
    [(1_000, "nothing"), (50_000, "the cores"), (300_000, "small objects"), (900_000, "transaction_lines")],
)
def test_each_order_of_magnitude_says_what_gives_way_first(photos: int, words: str) -> None:
    day = Day(photos, 100, 8)
    assert words in dict(in_words(night_plan(day, DEFAULT_RATES), day, DEFAULT_RATES))["runs out first"]
