from __future__ import annotations

import pytest

from jobs.operations.render_readmes import ANALYST, ENGINEER, PARTS, README, ROOT, made_by, part_of, rendered
from jobs.schemas.dictionary import TABLES


@pytest.mark.parametrize("page", PARTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_the_parts_that_are_made_from_code_as_they_are(page) -> None:
    assert rendered(page) == page.read_text(), "run `make readme`"


def test_the_parts_hold_what_they_are_named_after() -> None:
    assert "| `under_18_probability` | double |" in part_of(ANALYST, "tables")
    assert "| `CHECKOUT_AGES_CHALLENGE_AGE_YEARS` | `25` |" in part_of(ENGINEER, "settings")
    assert "- `jobs/tables/`: One file per table" in part_of(README, "packages")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_file_that_is_said_to_make_a_table_is_there(table) -> None:
    path = made_by(table).split("`")[1]
    assert (ROOT / path).exists()
    assert f"\n{made_by(table)}\n" in part_of(ANALYST, "tables")
