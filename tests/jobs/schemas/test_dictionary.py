import importlib
import json
from pathlib import Path

import pytest

from jobs import tables
from jobs.landing.landed_files import RECEIPT_FIELDS
from jobs.schemas.dictionary import NIGHT_TABLES, TABLES, WINDOW_TABLES, as_json, as_markdown
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.runs import CHECK_RESULTS, PIPELINE_RUNS, RETENTION_RUNS, WINDOW_CHECK_RESULTS, WINDOW_RUNS
from jobs.schemas.table import Table, meaning
from jobs.steps.order import BUILT_WITH, STEPS, WINDOW_STEPS

TESTS = Path(__file__).parents[1]
RECORDS = (CHECK_RESULTS, WINDOW_CHECK_RESULTS, PIPELINE_RUNS, WINDOW_RUNS, RETENTION_RUNS)
"""Records of runs and checks, which steps write."""
BUILT_TABLES = [table for table in TABLES if table not in RECORDS]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_grain_key_and_every_column_have_a_meaning(table: Table) -> None:
    assert table.grain.startswith("one row per ")
    assert set(table.key) <= set(table.column_names)
    assert all(meaning(field) for field in table.columns)
    assert len(set(table.column_names)) == len(table.column_names)


@pytest.mark.parametrize("table", BUILT_TABLES, ids=lambda table: table.name)
def test_a_table_that_is_built_from_others_has_its_module_function_constant_and_test(table: Table) -> None:
    module = importlib.import_module(f"jobs.tables.{table.name}")
    assert callable(getattr(module, table.name))
    assert getattr(module, table.name.upper(), table) is table
    assert (TESTS / "tables" / f"test_{table.name}.py").exists()


def test_a_file_of_tables_is_a_table() -> None:
    files = {file.stem for file in Path(tables.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {table.name for table in BUILT_TABLES}


def test_a_table_of_a_night_or_a_window_is_a_step_or_built_in_that_of_another() -> None:
    for table in (*NIGHT_TABLES, *WINDOW_TABLES):
        assert BUILT_WITH.get(table, table).name in {*STEPS, *WINDOW_STEPS}


def test_every_row_carries_its_run() -> None:
    assert all("run_id" in table.column_names for table in TABLES)


def test_the_dictionary_is_markdown_with_each_column() -> None:
    markdown = as_markdown()
    assert markdown.startswith("- [`checkout_photos`](#checkout_photos): one row per photo that the stores delivered\n")
    assert "### `alcohol_sale_audit`" in markdown
    assert "| `under_18_probability` | double | calibrated estimate of P(age under 18) |" in markdown


def test_the_dictionary_is_json_with_each_table_and_its_date() -> None:
    dictionary = {table["name"]: table for table in json.loads(as_json())}
    assert set(dictionary) == {table.name for table in TABLES}
    assert dictionary["photo_coverage"]["key"] == ["business_date", "store_id", "till_id", "hour"]
    assert dictionary["photo_coverage"]["columns"][1] == {
        "name": "store_id",
        "type": "string",
        "meaning": "store; 'unknown' for photos with a key that does not name it",
    }


def test_a_receipt_line_has_the_fields_that_land() -> None:
    assert {*RECEIPT_FIELDS, "run_id"} == set(TRANSACTION_LINES.column_names)
