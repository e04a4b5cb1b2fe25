"""The five questions of README: each form of each, run on a warehouse of the reader's own."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.readme import README

Row = dict[str, Any]


def five_questions() -> dict[str, dict[str, str]]:
    """Return of each question its code by what runs it: DuckDB, Spark and pandas."""
    _, _, rest = README.read_text().partition("\n## Five questions\n")
    section, _, _ = rest.partition("\n## ")
    titles_and_texts = re.split(r"^### (.*)$", section, flags=re.MULTILINE)[1:]
    texts = dict(zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True))
    code = re.compile(r"^```\w+\n(?:--|#) (DuckDB|Spark|pandas)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return {title: dict(code.findall(text)) for title, text in texts.items()}


def assert_forms_agree(forms: dict[str, str], spark: SparkSession, warehouse_uri: str) -> list[Row]:
    """Run the three forms on a local warehouse, assert that they give the same rows in the same order; return them."""
    folder = warehouse_uri.removeprefix("file://")
    on_duckdb, on_spark, on_pandas = (
        forms[name].replace(".demo/warehouse", folder) for name in ("DuckDB", "Spark", "pandas")
    )
    rows = _rows(duckdb.sql(on_duckdb).df())
    for code in (on_spark, on_pandas):
        _assert_same(_rows(_answer(code, spark)), rows)
    return rows


def _answer(code: str, spark: SparkSession) -> pd.DataFrame:
    names: dict[str, Any] = {"spark": spark, "F": F, "pd": pd}
    exec(code, names)
    answer = names["answer"]
    return answer if isinstance(answer, pd.DataFrame) else answer.toPandas()


def _rows(answer: pd.DataFrame) -> list[Row]:
    return [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in answer.to_dict("records")
    ]


def _assert_same(rows: list[Row], expected_rows: list[Row]) -> None:
    assert len(rows) == len(expected_rows)
    for row, expected in zip(rows, expected_rows, strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            if isinstance(value, float):
                value = pytest.approx(value, rel=1e-9, nan_ok=True)
            assert row[name] == value, name
