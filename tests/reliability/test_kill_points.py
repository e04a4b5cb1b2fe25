import pytest

from tests.reliability.part import measured

pytestmark = pytest.mark.slow


def test_a_killed_publisher_leaves_whole_days_and_a_second_run_mends_them() -> None:
    figures = measured("kill_points", True, print)
    assert figures["kill_points_survived"] == figures["kill_points_tried"] >= 15
    assert figures["controls_caught"] == figures["controls_planted"] == 5
    assert figures["two_at_once_whole"] == figures["two_at_once_tried"] >= 5
    assert figures["two_at_once_refused"] > 0
    assert (figures["torn_reads"], figures["photos_lost"]) == (0, 0)
    assert figures["reader_polls"] >= 100
