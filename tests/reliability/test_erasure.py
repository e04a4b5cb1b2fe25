from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.reliability.erasure import KILLED_AT, KILLED_LATE, measure

pytestmark = pytest.mark.slow


def test_an_erased_person_is_found_nowhere_however_often_the_erasure_was_killed(
    tmp_path: Path, spark: SparkSession
) -> None:
    figures = measure(tmp_path, quick=True)
    assert figures["erased_ids_found_after"] == figures["photos_past_retention_left"] == 0
    assert figures["erasures_killed"] == len(KILLED_AT)
    assert figures["controls_caught"] == figures["controls_planted"] > 5
    assert figures["erased_ids_tried"] == 3
    assert figures["photos_past_retention_tried"] == 60


@pytest.mark.parametrize("place", [*KILLED_AT, KILLED_LATE], ids=lambda place: place[1])
def test_the_functions_in_which_an_erasure_is_killed_exist(place: tuple[object, str]) -> None:
    assert callable(getattr(*place))
