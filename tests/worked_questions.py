"""The worked questions of jobs/tables/README.md: `checkout-ages query` answers each, Spark and pandas one of them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.operations.render_readmes import ANALYST
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.query import query

Row = dict[str, Any]
READERS = ("Category manager", "Compliance officer", "Operator")


def worked_questions() -> dict[str, str]:
    """Return the text below the title of each question."""
    _, _, rest = ANALYST.read_text().partition("\n## Worked questions\n")
    section, _, _ = rest.partition("\n## ")
    titles_and_texts = re.split(r"^### (.*)$", section, flags=re.MULTILINE)[1:]
    return dict(zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True))


def sql_of(text: str) -> str:
    """Return the query of a question."""
    (sql,) = re.findall(r'^checkout-ages query "\n(.*?)"$', text, re.DOTALL | re.MULTILINE)
    return str(sql)


def answer_of(text: str, warehouse_uri: str) -> list[Row]:
    """Answer a question from a warehouse that has a catalogue."""
    return _rows(query(ObjectStore(warehouse_uri), sql_of(text)).to_pylist())


def assert_other_engines_agree(text: str, spark: SparkSession, warehouse_uri: str) -> None:
    """Run a question's forms in Spark and pandas, assert that each gives the rows of its query in the same order."""
    expected_rows = answer_of(text, warehouse_uri)
    forms = re.findall(r"^```python\n# (?:Spark|pandas)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(forms) == 2
    for code in forms:
        on_this = code.replace(".demo/warehouse", warehouse_uri.removeprefix("file://"))
        rows = _rows(_answer(on_this, spark).to_dict("records"))
        assert rows == [close_to(row) for row in expected_rows]


def close_to(row: Row) -> Row:
    """Let the last digits of a row's fractions be others."""
    return {
        name: pytest.approx(value, rel=1e-9, nan_ok=True) if isinstance(value, float) else value
        for name, value in row.items()
    }


def _answer(code: str, spark: SparkSession) -> pd.DataFrame:
    names: dict[str, Any] = {"spark": spark, "F": F, "pd": pd}
    exec(code, names)
    answer = names["answer"]
    return answer if isinstance(answer, pd.DataFrame) else answer.toPandas()


def _rows(rows: list[dict[Any, Any]]) -> list[Row]:
    return [
        {str(name): float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]
