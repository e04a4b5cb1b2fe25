from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.operations.measure_rates import measured_rates
from jobs.operations.night_plan import DEFAULT_RATES, Day, night_plan
from jobs.steps.order import STEPS, TABLE_STEPS


@pytest.mark.slow
def test_three_nights_of_a_drawn_day_give_rates_that_can_be_planned_with(spark: SparkSession) -> None:
    done: list[str] = []
    rates = measured_rates(spark, 2.0, lambda step, _: done.append(step), few=40, many=80, photo_count=8)
    assert done == [f"{step} ({night})" for night in ("cold", "few", "many") for step in STEPS]
    assert rates.photos_per_core_second > 0
    assert rates.bytes_per_photo > 0
    assert rates.bytes_per_line > 0
    assert rates.start_seconds >= 2.0 * len(TABLE_STEPS)
    assert (rates.largest_photo_count, rates.largest_line_count) == (
        DEFAULT_RATES.largest_photo_count,
        DEFAULT_RATES.largest_line_count,
    )
    assert night_plan(Day(1_000, 10, 8), rates).cores >= 1
