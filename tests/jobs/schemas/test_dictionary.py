import importlib
import json
from pathlib import Path

import pytest

from jobs.schemas.dictionary import NIGHT_TABLES, TABLES, WINDOW_TABLES, as_json, as_markdown
from jobs.schemas.table import Table, meaning
from jobs.steps.order import STEPS, WINDOW_STEPS


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_grain_key_and_every_column_have_a_meaning(table: Table) -> None:
    assert table.grain.startswith("one row per ")
    assert set(table.key) <= set(table.column_names)
    assert all(meaning(field) for field in table.columns)
    assert len(set(table.column_names)) == len(table.column_names)


@pytest.mark.parametrize("table", [*NIGHT_TABLES, *WINDOW_TABLES], ids=lambda table: table.name)
def test_a_table_has_its_module_function_step_and_test(table: Table) -> None:
    module = importlib.import_module(f"jobs.tables.{table.name}")
    assert callable(getattr(module, table.name))
    assert table.name in (*STEPS, *WINDOW_STEPS)
    assert (Path(__file__).parents[1] / "tables" / f"test_{table.name}.py").exists()


def test_every_row_carries_its_run() -> None:
    assert all("run_id" in table.column_names for table in TABLES)


def test_the_dictionary_is_markdown_with_each_column() -> None:
    markdown = as_markdown()
    assert "### `alcohol_sale_audit`" in markdown
    assert "| `under_18_probability` | double | calibrated estimate of P(age under 18) |" in markdown


def test_the_dictionary_is_json_with_each_table_and_its_date() -> None:
    dictionary = {table["name"]: table for table in json.loads(as_json())}
    assert set(dictionary) == {table.name for table in TABLES}
    assert dictionary["photo_coverage"]["key"] == ["business_date", "store_id", "till_id", "hour"]
    assert dictionary["photo_coverage"]["columns"][1] == {
        "name": "store_id",
        "type": "string",
        "meaning": "store; 'unknown' for photos whose key does not say it",
    }
