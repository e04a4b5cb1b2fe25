"""Lines next to each other: sentences of single cases by DuckDB, and the same answer of DuckDB and Spark."""

from collections import defaultdict
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.landing.judged_lines import judged_lines
from jobs.landing.receipt_comparison import compared_lines
from jobs.landing.receipt_lines import judged_receipt_lines
from jobs.operations.delivery_database import JUDGED_IN_DUCKDB, in_duckdb
from tests.given.landed_lines import DAY, landed_batch

WAY_OUT = "; make transaction_id unique in the day, for example with the number of the shift"
COLUMNS = ["source_file", "line_in_file"]
TOLD = ["is_kept", "is_repeat", "rejection_reason", "rejection_kind"]


def compared(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """What DuckDB says of lines, numbered from 1 where they have no number."""
    numbered = [{"line_in_file": number} | line for number, line in enumerate(lines, 1)]
    judged = in_duckdb(judged_receipt_lines(landed_batch(*numbered), DAY), JUDGED_IN_DUCKDB)
    with duckdb.connect() as connection:
        connection.register("judged_lines", pa.Table.from_batches([judged]))
        query = compared_lines(COLUMNS).format(judged_lines="judged_lines")
        rows = connection.execute(f"FROM ({query}) ORDER BY source_file, line_in_file").to_arrow_table()
    result: list[dict[str, Any]] = rows.to_pylist()
    return result


def reasons(*lines: dict[str, Any]) -> list[str | None]:
    return [row["rejection_reason"] for row in compared(*lines)]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"cashier_id": "c2"}, "cashier_id c1 and c2"),
        ({"currency": "EUR"}, "currency EUR and USD"),
        ({"closed_at": "2026-11-20T20:31:01Z"}, "closed_at 2026-11-20 18:31:00 and 2026-11-20 20:31:01"),
        ({"cashier_id": "c2", "currency": "EUR"}, "cashier_id c1 and c2, currency EUR and USD"),
    ],
)
@pytest.mark.parametrize("line_number", ["1", "2"])
def test_all_lines_of_a_receipt_that_contradicts_itself_are_rejected(
    other: dict[str, Any], words: str, line_number: str
) -> None:
    lines = compared({}, {"line_number": line_number} | other, {"line_number": "3"}, {"transaction_id": "t2"})
    reason = f"its receipt has {words}{WAY_OUT}"
    assert [line["rejection_reason"] for line in lines] == [reason, reason, reason, None]
    assert [line["is_kept"] for line in lines] == [False, False, False, True]


def test_a_missing_opened_at_and_two_hours_contradict_nothing() -> None:
    lines = ({}, {"line_number": "2", "opened_at": None}, {"line_number": "3", "closed_at": "2026-11-20T20:31:00Z"})
    assert reasons(*lines) == [None, None, None]


def test_a_line_that_is_rejected_contradicts_nothing() -> None:
    assert reasons({}, {"line_number": "2", "cashier_id": "c2", "sku": None}) == [None, "sku is missing"]


def test_a_line_that_comes_again_says_whether_it_is_the_same_or_what_differs() -> None:
    lines = compared({"net_amount": "10.00"}, {"net_amount": "10"}, {"net_amount": "12.00", "id_check": None})
    where = "line 1 of transactions/a.csv"
    assert [line["rejection_reason"] for line in lines] == [
        None,
        f"is the same as {where}",
        f"differs from {where}: net_amount 10.00 there, 12.00 here, id_check not_asked there, nothing here",
    ]
    assert [line["is_repeat"] for line in lines] == [False, True, False]


def few(*texts: str | None) -> st.SearchStrategy[str | None]:
    return st.sampled_from(texts)


LINES = st.fixed_dictionaries(
    {
        "source_file": few("a.csv", "b.csv"),
        "transaction_id": few("t1", "t2"),
        "line_number": few("1", "2", "x"),
        "cashier_id": few("c1", "c1", "c1", "c2", "ç"),
        "currency": few("USD", "USD", "USD", "EUR"),
        "opened_at": few("2026-11-20T18:30:00Z", None),
        "closed_at": few(
            "2026-11-20T18:31:00Z", "2026-11-20T18:31:00.5Z", "2026-11-20T20:31:00Z", "2026-11-20T20:31:00.6Z"
        ),
        "net_amount": few("1", "1.0", "-0.10"),
        "is_alcohol": few("true", "false"),
        "id_check": few("shown", None),
        "sku": few("s", "long" * 40),
    }
)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(LINES, min_size=1, max_size=60))
def test_spark_and_duckdb_say_the_same_of_any_lines(spark: SparkSession, lines: list[dict[str, Any]]) -> None:
    numbered = [line | {"line_in_file": number} for number, line in enumerate(lines, 1)]
    landed = spark.createDataFrame(pa.Table.from_batches([landed_batch(*numbered)]))
    told_by_spark = judged_lines(landed, DAY).select(*COLUMNS, *TOLD).orderBy(*COLUMNS).toArrow().to_pylist()
    assert told_by_spark == compared(*numbered)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(LINES, min_size=1, max_size=30))
def test_what_is_kept_is_what_plain_python_keeps(lines: list[dict[str, Any]]) -> None:
    numbered = [line | {"line_in_file": number} for number, line in enumerate(lines, 1)]
    receipts = defaultdict(list)
    for line in judged_receipt_lines(landed_batch(*numbered), DAY).to_pylist():
        if line["rejection_reason"] is None:
            receipts[line["transaction_id"]].append(line)
    kept = set()
    for receipt in receipts.values():
        closed_at = [line["closed_at"] for line in receipt]
        names = {(line["cashier_id"], line["currency"]) for line in receipt}
        if len(names) == 1 and (max(closed_at) - min(closed_at)).total_seconds() <= 7200:
            places = {line["line_number"]: [] for line in receipt}
            for line in receipt:
                places[line["line_number"]].append((line["source_file"], line["line_in_file"]))
            kept |= {min(of_number) for of_number in places.values()}
    told = compared(*numbered)
    assert {(line["source_file"], line["line_in_file"]) for line in told if line["is_kept"]} == kept
    assert len(told) == len(lines)
    assert all(line["is_kept"] == (line["rejection_reason"] is None) for line in told)
