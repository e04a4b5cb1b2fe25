import io
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.landing import deliveries
from jobs.landing.cashier_pseudonyms import cashier_pseudonyms
from jobs.landing.deliveries import landed_transaction_lines, transactions_folder
from jobs.landing.landed_files import read_landed_lines
from jobs.landing.tombstones import ErasedPeople, key_hash, without_erased_landed_lines
from jobs.settings import KEY_VARIABLE
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE

FORMATS = ("csv", "jsonl", "parquet")
KEY = {KEY_VARIABLE: "k" * 40}
SOUND_JSON = '{"transaction_id": 42, "store_id": 42, "till_id": 42}\n'
ROUNDED = "is a rounded number; deliver ids as text, with all their digits"


def as_parquet(columns: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def in_format(kind: str, ids: list[str]) -> bytes:
    contents = {
        "csv": "\n".join(["store_id,sku", *(f"{name},x" for name in ids)]).encode(),
        "jsonl": "\n".join(json.dumps({"store_id": name}) for name in ids).encode(),
        "parquet": as_parquet({"store_id": ids}),
    }
    return contents[kind]


def lines_of(landing_store: ObjectStore, key: str, content: bytes) -> list[dict[str, Any]]:
    landing_store.write(key, content)
    rows = [line for batch in read_landed_lines(landing_store, key) for line in batch.to_pylist()]
    return sorted(rows, key=lambda line: line["line_in_file"])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("landed", "read"),
    [
        ("42.0", "42"),
        ("42.00", "42"),
        ("42.", "42"),
        (" 42.0 ", "42"),
        ("0.0", "0"),
        ("-1.0", "-1"),
        ("9007199254740992.0", "9007199254740992"),
        ("1234567.0", "1234567"),
        ("0042", "0042"),
        ("0042.0", "0042.0"),
        ("42.5", "42.5"),
        ("1.2.0", "1.2.0"),
        ("7e12", "7e12"),
        ("1E5", "1E5"),
        ("2.5e3", "2.5e3"),
        ("12E+4", "12E+4"),
        ("deadbeef", "deadbeef"),
        ("e+1", "e+1"),
        ("Nantes", "Nantes"),
        ("A#7", "A#7"),
        ("90071992547409921234", "90071992547409921234"),
    ],
)
def test_an_id_is_what_it_was_before_it_went_through_a_number(
    landing: ObjectStore, kind: str, landed: str, read: str
) -> None:
    lines = lines_of(landing, f"a.{kind}", in_format(kind, ["K1", landed, "K2"]))
    assert [(line["store_id"], line["parse_problem"]) for line in lines] == [("K1", None), (read, None), ("K2", None)]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("landed", "words"),
    [
        ("2.02611E+13", ROUNDED),
        ("2.02611e+13", ROUNDED),
        ("2E+13", ROUNDED),
        (" 4.607E+12 ", ROUNDED),
        ("1e+16", ROUNDED),
        ("9007199254740993.0", "has more digits than a number keeps; deliver ids as text"),
        ("20261120123456789012.0", "has more digits than a number keeps; deliver ids as text"),
        ("nan", "is a missing number, not an id; deliver ids as text"),
        ("inf", "is a missing number, not an id; deliver ids as text"),
        ("#N/A", "is a missing number, not an id; deliver ids as text"),
    ],
)
def test_an_id_that_lost_digits_is_rejected_with_its_value(
    landing: ObjectStore, kind: str, landed: str, words: str
) -> None:
    lines = lines_of(landing, f"a.{kind}", in_format(kind, ["K1", landed, "K2"]))
    assert [line["store_id"] for line in lines] == ["K1", None, "K2"]
    assert lines[1]["parse_problem"] == f"store_id '{landed}' {words}"
    assert json.loads(lines[1]["unparsed_line"])["store_id"] == landed.removesuffix(".0")


def test_a_decimal_comma_in_a_rounded_number_is_known_too(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "a.csv", b'store_id,sku\n"2,02611E+13",x\n')
    assert line["parse_problem"] == f"store_id '2,02611E+13' {ROUNDED}"


def test_json_numbers_are_ids_too(landing: ObjectStore) -> None:
    content = b'{"store_id": 42}\n{"store_id": 42.0}\n{"store_id": 2.02611E+13}\n{"store_id": NaN}\n'
    lines = lines_of(landing, "a.jsonl", content)
    assert [line["store_id"] for line in lines] == ["42", "42", None, None]


@pytest.mark.parametrize(
    ("number", "read"),
    [
        ("4.2e1", "42"),
        ("2.0261120000123E13", "20261120000123"),
        ("1e5", "100000"),
        ("-1.0e0", "-1"),
        ("4.25e0", "4.25"),
        ('"4.2E1"', "4.2E1"),
        ("1e20", None),
        ("1e400", None),
        ("-Infinity", None),
    ],
)
def test_json_numbers_with_an_exponent_are_written_out_where_they_are_exact(
    landing: ObjectStore, number: str, read: str | None
) -> None:
    (line,) = lines_of(landing, "a.jsonl", b'{"sku": "x", "store_id": %s}\n' % number.encode())
    assert line["store_id"] == read
    assert (line["parse_problem"] is None) == (read is not None)


@pytest.mark.parametrize("blank", ["\t", "\n", "\0", "\x7f"])
def test_an_id_with_a_control_character_is_rejected_as_no_page_would_show_it(landing: ObjectStore, blank: str) -> None:
    content = "".join(json.dumps({"sku": blank, "cashier_id": name}) + "\n" for name in ("c1", f"c1{blank}"))
    sound, rejected = lines_of(landing, "a.jsonl", content.encode())
    assert (sound["cashier_id"], sound["sku"]) == ("c1", blank)
    assert rejected["parse_problem"] == "cashier_id has a tab or another control character; deliver ids without it"


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pa.array([42.0, None, 20_261_112_345_678.0, 2.0**53]), ["42", None, "20261112345678", "9007199254740992"]),
        (pa.array([42.0, 16_777_216.0], pa.float32()), ["42", "16777216"]),
        (pa.array(np.array([42.0, 2048.0], np.float16)), ["42", "2048"]),
        (pa.array([42.5, -1.0]), ["42.5", "-1"]),
        (pa.array([Decimal(0), Decimal(42)], pa.decimal128(38, 18)), ["0", "42"]),
        (pa.array([Decimal("42.00"), Decimal("90071992547409930123.00")]), ["42", "90071992547409930123"]),
        (pa.array([42.0, 7.0]).dictionary_encode(), ["42", "7"]),
        (pa.array([42, 2**62]), ["42", str(2**62)]),
        (pa.array(["42.0", "7"], pa.large_string()), ["42", "7"]),
        (pa.array([b"42.0", b"7"], pa.large_binary()), ["42", "7"]),
        (pa.array(["42.0", "7"], pa.string_view()), ["42", "7"]),
    ],
)  # fmt: skip
def test_parquet_columns_of_numbers_are_ids(landing: ObjectStore, column: pa.Array, read: list[str | None]) -> None:
    lines = lines_of(landing, "a.parquet", as_parquet({"store_id": column}))
    assert [(line["store_id"], line["parse_problem"]) for line in lines] == [(name, None) for name in read]


@pytest.mark.parametrize(
    "column", [pa.array([2.0**53 + 2]), pa.array([1e300]), pa.array([2.0**24 + 2], pa.float32()), pa.array([np.nan])]
)
def test_parquet_floats_that_hold_no_id_are_rejected(landing: ObjectStore, column: pa.Array) -> None:
    (line,) = lines_of(landing, "a.parquet", as_parquet({"store_id": column, "sku": ["x"]}))
    assert line["store_id"] is None
    assert "; deliver ids as text" in line["parse_problem"]


def test_uuids_are_text_whoever_wrote_them(landing: ObjectStore, tmp_path: Path) -> None:
    name = uuid.UUID("00000000-0000-0000-0000-0000000000c8")
    by_duckdb = tmp_path / "uuid.parquet"
    duckdb.sql(f"COPY (SELECT UUID '{name}' AS transaction_id, 1.0::DOUBLE AS store_id) TO '{by_duckdb}'")
    by_pyarrow = as_parquet({"transaction_id": pa.array([name.bytes, None], pa.uuid()), "store_id": [1.0, 2.0]})
    (found,) = lines_of(landing, "duckdb.parquet", by_duckdb.read_bytes())
    lines = lines_of(landing, "pyarrow.parquet", by_pyarrow)
    assert (found["transaction_id"], found["store_id"]) == (str(name), "1")
    assert [line["transaction_id"] for line in lines] == [str(name), None]


def test_no_reason_names_a_cashier(landing: ObjectStore) -> None:
    content = b"store_id,cashier_id\n1,1.5E+10\n"
    (line,) = lines_of(landing, "a.csv", content)
    assert line["parse_problem"] == f"cashier_id {ROUNDED}"
    for key, first_line in (("b.csv", b"r1,K5,c17\n"), ("c.json", b'[{"cashier_id": "c17"},\n')):
        (line,) = lines_of(landing, key, first_line)
        assert "c17" not in line["parse_problem"]
        assert "c17" in line["unparsed_line"]


HEADER = "transaction_id,store_id,till_id,cashier_id\n"


def deliver_in_all_forms(landing_store: ObjectStore) -> None:
    folder = transactions_folder(BUSINESS_DATE)
    as_floats = {name: [42.0] for name in HEADER.strip().split(",")}
    landing_store.write(f"{folder}/a.csv", f"{HEADER}42,42,42,42\n42.0,42.0,42.0,42.0\n".encode())
    landing_store.write(f"{folder}/b.jsonl", json.dumps(dict.fromkeys(as_floats, 42.0)).encode())
    landing_store.write(f"{folder}/c.parquet", as_parquet(as_floats))


def test_a_cashier_has_one_pseudonym_in_all_forms_of_the_id(
    landing: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY[KEY_VARIABLE])
    deliver_in_all_forms(landing)
    read = deliveries.line_reader(landing, cashier_pseudonyms(KEY).generation)
    files = deliveries.receipt_files(landing, BUSINESS_DATE)
    found = [line["cashier_id"] for file in files for batch in read(file.key) for line in batch.to_pylist()]
    assert found == [cashier_pseudonyms(KEY).of("42")] * 4


def test_an_erased_receipt_stays_erased_in_all_forms_of_its_id(spark: SparkSession, landing: ObjectStore) -> None:
    deliver_in_all_forms(landing)
    erased = ErasedPeople(
        BUSINESS_DATE,
        erasure_count=1,
        transactions=frozenset({key_hash(BUSINESS_DATE, "transaction", "42", "42", "42")}),
        transaction_ids=frozenset({key_hash(BUSINESS_DATE, "transaction_id", "42")}),
    )
    broken = [f"{HEADER}42.0,42.0,42.0\n", f'{HEADER}42.0,42.0,42.0,"c\n', f"{HEADER}42.0,2.0E+11,42.0,c\n"]
    for number, content in enumerate([*broken, f'{{"transaction_id": 42.0, "store_id"\n{SOUND_JSON}']):
        ending = "jsonl" if content.startswith("{") else "csv"
        landing.write(f"{transactions_folder(BUSINESS_DATE)}/broken-{number}.{ending}", content.encode())
    landed = landed_transaction_lines(spark, landing.uri, BUSINESS_DATE)
    assert landed.count() == 9
    assert without_erased_landed_lines(landed, erased).count() == 0
    unparsed = [row.unparsed_line for row in landed.collect() if row.parse_problem and "E+11" not in row.unparsed_line]
    assert [erased.has_landed_line(text) for text in unparsed] == [True] * 3
