"""README's table of what an operator meets: each row is proved by a test, named here by what the operator sees."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEADING = "| what an operator sees | what it means | what to do |"

PROVED_BY = {
    "`wait_for_business_date` waits": "jobs/test_run.py::test_waiting_for_a_day_exits_with_75_until_it_has_landed",
    "a table task failed with exit code 2": "dags/test_job_tasks.py::test_bad_input_is_not_retried",
    "`check_night` failed": "end_to_end/test_night.py::test_a_failed_check_publishes_nothing",
    "photos or lines came late": (
        "end_to_end/test_night.py::test_photos_and_lines_that_come_late_restate_the_day_and_its_window"
    ),
    "`announce_published_day` is skipped": (
        "jobs/test_publish_night.py::test_a_day_is_announced_when_it_is_new_or_changed_and_not_when_it_came_out_the_same"
    ),
}


def rows() -> list[str]:
    """The first cell of each row."""
    _, _, table = (ROOT / "README.md").read_text().partition(f"{HEADING}\n")
    lines = iter(table.splitlines()[1:])
    cells = []
    while (line := next(lines, "")).startswith("|"):
        cells.append(re.split(r"(?<!\\)\|", line)[1].strip())
    return cells


def test_every_row_is_proved_by_a_test_and_no_test_is_of_a_row_that_is_gone() -> None:
    assert set(rows()) == set(PROVED_BY)


@pytest.mark.parametrize("test", PROVED_BY.values())
def test_the_test_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    functions = [
        node.name for node in ast.parse((ROOT / "tests" / path).read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert name in functions
