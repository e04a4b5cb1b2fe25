import gzip
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.landed_files import read_landed_lines
from jobs.object_store import ObjectStore

HEADER = "transaction_id,store_id,quantity,product_category"


def lines_of(landing: ObjectStore, key: str, content: bytes) -> list[dict[str, Any]]:
    landing.write(key, content)
    return [line for batch in read_landed_lines(landing, key) for line in batch.to_pylist()]


@pytest.mark.parametrize("zipped", [False, True])
def test_csv_fields_are_text_and_numbered(landing: ObjectStore, zipped: bool) -> None:
    content = f'{HEADER}\nt1,0042,1.50,MILK\nt2,7,2,"TEA, HOT"\n'.encode()
    key = "a.csv.gz" if zipped else "a.csv"
    lines = lines_of(landing, key, gzip.compress(content) if zipped else content)
    assert [(line["line_in_file"], line["store_id"], line["quantity"], line["product_category"]) for line in lines] == [
        (1, "0042", "1.50", "MILK"),
        (2, "7", "2", "TEA, HOT"),
    ]
    assert lines[0]["net_amount"] is None


def test_a_csv_record_with_too_few_fields_keeps_its_number_and_text(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.csv", f"{HEADER}\nt1,1,1,MILK\nbroken\nt3,1,1,MILK\n".encode())
    assert [(line["line_in_file"], line["transaction_id"], line["parse_problem"]) for line in lines] == [
        (1, "t1", None),
        (3, "t3", None),
        (2, None, "has 1 fields, the header has 4"),
    ]
    assert lines[2]["unparsed_line"] == "broken"


def test_json_numbers_lose_no_digit(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.jsonl", b'{"quantity": 1.10, "line_number": 7, "is_alcohol": true, "sku": null}\n')
    assert (lines[0]["quantity"], lines[0]["line_number"], lines[0]["is_alcohol"]) == ("1.10", "7", "true")
    assert lines[0]["sku"] is None


def test_json_lines_that_are_no_objects_are_kept_with_the_problem(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.jsonl", b'{"sku": "s"}\n{nope\n\n[1]\n')
    assert [(line["line_in_file"], line["unparsed_line"]) for line in lines] == [(1, None), (2, "{nope"), (4, "[1]")]
    assert lines[2]["parse_problem"] == "is not a JSON object"


def test_parquet_types_become_text_that_can_be_read_back(landing: ObjectStore) -> None:
    receipts = pa.table(
        {
            "closed_at": pa.array([datetime(2026, 11, 20, 18, 31, tzinfo=UTC)], pa.timestamp("us", tz="Europe/Moscow")),
            "net_amount": pa.array([Decimal("2.50")], pa.decimal128(9, 2)),
            "is_alcohol": [True],
            "line_number": [3],
            "product_category": pa.array(["MILK"]).dictionary_encode(),
            "sku": pa.array([["nested"]]),
            "unknown_column": ["x"],
        }
    )
    content = io.BytesIO()
    pq.write_table(receipts, content)
    (line,) = lines_of(landing, "a.parquet", content.getvalue())
    assert line["closed_at"].startswith("2026-11-20 18:31:00")
    assert line["closed_at"].endswith("Z")
    assert (line["net_amount"], line["is_alcohol"], line["line_number"]) == ("2.50", "true", "3")
    assert (line["product_category"], line["sku"]) == ("MILK", '["nested"]')


@pytest.mark.parametrize("key", ["a.csv.gz", "a.jsonl.gz", "a.parquet"])
def test_a_file_that_cannot_be_read_is_one_line_with_the_reason(landing: ObjectStore, key: str) -> None:
    (line,) = lines_of(landing, key, b"neither zipped nor parquet")
    assert line["line_in_file"] == 0
    assert line["parse_problem"].startswith(f"file '{key}' cannot be read to its end: ")


def test_a_gzip_that_ends_early_keeps_what_came_before(landing: ObjectStore) -> None:
    content = b"".join(b'{"sku": "%d"}\n' % number for number in range(100_000))
    lines = lines_of(landing, "a.jsonl.gz", gzip.compress(content)[:-2000])
    assert lines[0]["sku"] == "0"
    assert lines[-1]["parse_problem"].startswith("file 'a.jsonl.gz' cannot be read to its end: ")


def test_a_file_of_another_kind_is_one_line_with_the_reason(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "receipts.xlsx", b"PK")
    assert line["parse_problem"] == "file 'receipts.xlsx' is none of .parquet .csv .csv.gz .jsonl .jsonl.gz"


def test_an_empty_file_is_said(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "a.csv", b"")
    assert line["parse_problem"].startswith("file 'a.csv' cannot be read to its end: ")
