import time

import pytest
from pyspark.sql import SparkSession

from jobs.ages import progress
from jobs.ages.progress import progress_line, reported_progress


def test_a_line_says_what_is_done_how_fast_and_how_long_it_takes_still() -> None:
    assert progress_line(1024, 8000, 10) == "1,024 of 8,000 photos, 102 photos/s, 1 min 8 s left"
    assert progress_line(7_950, 8000, 80) == "7,950 of 8,000 photos, 99 photos/s, 1 s left"
    assert progress_line(8000, 8000, 80) == "8,000 of 8,000 photos, 100 photos/s, 0 s left"


def test_lines_are_logged_as_tasks_end_and_none_when_nothing_has_been_done(
    spark: SparkSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    caplog.set_level("INFO", "jobs")
    with reported_progress(spark.sparkContext.accumulator(0), 10):
        time.sleep(0.1)
    assert caplog.messages == []
    done = spark.sparkContext.accumulator(0)
    with reported_progress(done, 10):
        for lines in (1, 2):
            done.add(5)
            wait_for_lines(caplog, lines)
    assert [line.split(",")[0] for line in caplog.messages] == ["5 of 10 photos", "10 of 10 photos"]


def wait_for_lines(caplog: pytest.LogCaptureFixture, count: int) -> None:
    """Return once so many lines are there, or after half a minute, on whatever else the machine is busy."""
    deadline = time.monotonic() + 30
    while len(caplog.messages) < count and time.monotonic() < deadline:
        time.sleep(0.02)
