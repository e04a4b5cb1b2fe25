import io
import json
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.errors import StoreError
from jobs.landing import landed_lines, landed_parquet
from jobs.landing.landed_files import LONGEST_FIELD_BYTES, has_known_ending, read_landed_lines
from jobs.landing.landed_lines import LONGEST_LINE_BYTES
from jobs.warehouse.object_store import ObjectStore
from tests.given.landed_files import HEADER_LINE, lines_of, zipped_bytes

HEADER = "transaction_id,store_id,quantity,product_category"


def parquet_bytes(columns: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


@pytest.mark.parametrize("zipped", [False, True])
def test_csv_fields_are_text_and_numbered(landing: ObjectStore, zipped: bool) -> None:
    content = f'{HEADER}\nt1,0042,1.50,MILK\nt2,7,2,"TEA, HOT"\n'.encode()
    key = "a.csv.gz" if zipped else "a.csv"
    lines = lines_of(landing, key, zipped_bytes(content) if zipped else content)
    assert [(line["line_in_file"], line["store_id"], line["quantity"], line["product_category"]) for line in lines] == [
        (2, "0042", "1.50", "MILK"),
        (3, "7", "2", "TEA, HOT"),
    ]
    assert lines[0]["net_amount"] is None


def test_a_csv_record_with_too_few_fields_keeps_its_number_and_text(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.csv", f"{HEADER}\nt1,1,1,MILK\nbroken\nt3,1,1,MILK\n".encode())
    assert [(line["line_in_file"], line["transaction_id"], line["parse_problem"]) for line in lines] == [
        (2, "t1", None),
        (4, "t3", None),
        (3, None, "has 1 fields, but the header has 4"),
    ]
    assert lines[2]["unparsed_line"] == "broken"


def test_json_numbers_lose_no_digit(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.jsonl", b'{"quantity": 1.10, "line_number": 7, "is_alcohol": true, "sku": null}\n')
    assert (lines[0]["quantity"], lines[0]["line_number"], lines[0]["is_alcohol"]) == ("1.10", "7", "true")
    assert lines[0]["sku"] is None


def test_json_lines_that_are_no_objects_are_kept_with_the_problem(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.jsonl", b'{"sku": "s"}\n{nope\n\n[1]\n')
    assert [(line["line_in_file"], line["unparsed_line"]) for line in lines] == [(1, None), (2, "{nope"), (4, "[1]")]
    assert lines[2]["parse_problem"] == "is not a JSON object; deliver one object per line"


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


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("a.csv.gz", "is text and not gzip, although its name ends in .gz"),
        ("a.JSONL.GZ", "is text and not gzip, although its name ends in .gz"),
        ("a.parquet", "is text and not Parquet, although its name says so"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_row_with_the_reason(landing: ObjectStore, key: str, words: str) -> None:
    (line,) = lines_of(landing, key, b"neither zipped nor parquet")
    assert (line["line_in_file"], line["parse_problem"]) == (
        0,
        f"file '{key}' {words}; give it the ending of its format",
    )


def test_nothing_is_read_of_a_parquet_file_that_is_cut_off(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "a.parquet", parquet_bytes({"sku": ["a"] * 1000})[:-20])
    assert line["parse_problem"].startswith("file 'a.parquet' is cut off: its end, which says where its rows are,")


@pytest.mark.parametrize("key", ["A.CSV", "b.Parquet", "c.JSONL.gz", "d.json", "e.ndjson", "f.NDJSON.GZ", "g.csv.Gz"])
def test_endings_are_known_in_letters_of_any_case(landing: ObjectStore, key: str) -> None:
    as_csv, as_parquet, as_json = b"sku\n1\n", parquet_bytes({"sku": ["1"]}), b'{"sku": 1}'
    content = {"A": as_csv, "b": as_parquet, "g": as_csv}.get(key[0], as_json)
    content = zipped_bytes(content) if key.lower().endswith(".gz") else content
    assert has_known_ending(key)
    assert [line["sku"] for line in lines_of(landing, key, content)] == ["1"]


def test_a_file_of_another_kind_is_one_row_with_the_reason(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "receipts.xlsx", b"PK")
    assert not has_known_ending("receipts.xlsx")
    assert line["parse_problem"] == (
        "file 'receipts.xlsx' is none of .parquet .csv .csv.gz .jsonl .jsonl.gz .json .json.gz .ndjson .ndjson.gz; "
        "begin its name with _ if it is not data"
    )


@pytest.mark.parametrize(
    ("key", "content"), [("a.csv", b""), ("a.csv", b"\n \r\n"), ("a.csv.gz", b""), ("a.parquet", b"")]
)
def test_an_empty_file_is_said(landing: ObjectStore, key: str, content: bytes) -> None:
    (line,) = lines_of(landing, key, content)
    assert line["parse_problem"].startswith(f"file '{key}' is empty; ")


@pytest.mark.parametrize("content", [b"sku,quantity", b"sku,quantity\r\n", b"\n\nsku,quantity\n\n\n"])
def test_a_file_with_a_header_alone_has_no_rows(landing: ObjectStore, content: bytes) -> None:
    assert lines_of(landing, "a.csv", content) == []


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (b"\xef\xbb\xbf" + HEADER_LINE.encode() + b"t1,1,2\n", ["t1"]),
        (HEADER_LINE.replace("\n", "\r\n").encode() + b"t1,1,2\r\nt2,1,2\r\n", ["t1", "t2"]),
        (b"\n\n" + HEADER_LINE.encode() + b"t1,1,2", ["t1"]),
        (HEADER_LINE.encode() + b'"t1","=1+1",2\n\n  \nt2,"1 ""a"" 2",2\n', ["t1", "t2"]),
        (HEADER_LINE.replace("\n", "\r\r\n").encode() + b"t1,1,2\r\r\n", ["t1"]),
        (b'"transaction_id","of ours"\n"t1",x\n', ["t1"]),
    ],
    ids=["byte order mark", "CRLF", "blank lines first", "quotes and blank lines", "CR twice", "quoted header"],
)
def test_a_csv_of_another_dialect_that_can_be_read_is_read(
    landing: ObjectStore, content: bytes, ids: list[str]
) -> None:
    lines = lines_of(landing, "a.csv", content)
    assert [(line["transaction_id"], line["parse_problem"]) for line in lines] == [(name, None) for name in ids]


@pytest.mark.parametrize("key", ["a.csv", "a.jsonl"])
def test_a_line_in_another_encoding_is_rejected_and_the_others_are_not(landing: ObjectStore, key: str) -> None:
    values = ["MILK", "CAF\u00c9", "TEA"]
    if key == "a.csv":
        content = "product_category\n" + "\n".join(values)
    else:
        content = "\n".join(json.dumps({"product_category": value}, ensure_ascii=False) for value in values)
    lines = lines_of(landing, key, content.encode("latin-1"))
    first = 2 if key == "a.csv" else 1
    assert sorted((line["line_in_file"], line["product_category"]) for line in lines) == [
        (first, "MILK"),
        (first + 1, None),
        (first + 2, "TEA"),
    ]
    assert "UTF-8" in next(line["parse_problem"] for line in lines if line["parse_problem"])


def test_text_that_a_spreadsheet_would_compute_stays_as_it_came(landing: ObjectStore) -> None:
    formulas = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1"]
    content = b"".join(json.dumps({"sku": formula}).encode() + b"\n" for formula in formulas)
    assert [line["sku"] for line in lines_of(landing, "a.jsonl", content)] == formulas


def test_absurd_numbers_come_as_they_are_written(landing: ObjectStore) -> None:
    content = b'{"quantity": 1e400, "net_amount": NaN, "line_number": -Infinity, "sku": 1%s}\n' % (b"0" * 5000)
    (line,) = lines_of(landing, "a.jsonl", content)
    assert (line["quantity"], line["net_amount"], line["line_number"]) == ("1e400", "NaN", "-Infinity")
    assert line["sku"] == "1" + 5000 * "0"


@pytest.mark.parametrize(
    "line",
    [b'{"sku": "\\ud800"}', b"[" * 100_000, b'{"sku": ' + b"[" * 900 + b"]" * 900 + b"}", b"\xff", b'{"sku": "a"'],
)
def test_json_that_breaks_parsers_is_one_rejected_line(landing: ObjectStore, line: bytes) -> None:
    lines = lines_of(landing, "a.jsonl", b'{"sku": "before"}\n' + line + b'\n{"sku": "after"}\n')
    assert [found["sku"] for found in lines if found["parse_problem"] is None][:1] == ["before"]
    assert sorted(found["line_in_file"] for found in lines) == [1, 2, 3]


def test_a_line_of_hundreds_of_megabytes_is_rejected_and_never_held(landing: ObjectStore) -> None:
    content = zipped_bytes(b'{"sku": "a"}\n' + b"x" * 60_000_000 + b'\n{"sku": "b"}\n')
    landing.write("a.jsonl.gz", content)
    tracemalloc.start()
    lines = [line for batch in read_landed_lines(landing, "a.jsonl.gz") for line in batch.to_pylist()]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(line["line_in_file"], line["sku"]) for line in lines] == [(1, "a"), (3, "b"), (2, None)]
    assert lines[2]["parse_problem"] == f"is longer than {LONGEST_LINE_BYTES} bytes"
    assert peak_bytes < 20 * LONGEST_LINE_BYTES


@pytest.mark.parametrize("key", ["a.csv.gz", "a.jsonl.gz"])
def test_a_gzip_bomb_is_read_up_to_a_limit_and_says_so(
    landing: ObjectStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landed_lines, "LEAST_UNFOLDED_BYTES", 9_000_000)
    monkeypatch.setattr(landed_lines, "MOST_UNFOLDED_PER_BYTE", 1)
    name = "t" * 200
    line = f"{name}\n" if key == "a.csv.gz" else f'{{"transaction_id": "{name}"}}\n'
    header = "transaction_id\n" if key == "a.csv.gz" else ""
    lines = lines_of(landing, key, zipped_bytes((header + line * 80_000).encode()))
    assert 1_000_000 < len(lines) * len(line) <= 9_000_000 + 2 * len(line)
    assert {line["transaction_id"] for line in lines[:-1]} == {name}
    assert "unzips to more than 9000000 bytes" in lines[-1]["parse_problem"]


def test_a_parquet_bomb_is_refused_before_it_unfolds(landing: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landed_parquet, "LEAST_PARQUET_ROWS", 1_000)
    bomb = io.BytesIO()
    pq.write_table(pa.table({"sku": pa.array(["x"]).take(pa.array([0] * 1_000_000))}), bomb)
    (line,) = lines_of(landing, "a.parquet", bomb.getvalue())
    assert "unzips to more than" in line["parse_problem"]


def test_a_csv_without_a_sound_record_is_rejected_line_by_line(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.csv", HEADER_LINE.encode() + b"x\n" * 150_000)
    assert [line["line_in_file"] for line in lines] == list(range(2, 150_002))
    assert {line["parse_problem"] for line in lines} == {"has 1 fields, but the header has 3"}


def test_a_csv_line_that_is_too_long_is_rejected_and_the_others_are_not(landing: ObjectStore) -> None:
    content = b"sku\n" + b"a\n" + b"x" * (3 * LONGEST_LINE_BYTES) + b"\nb\n"
    lines = sorted(lines_of(landing, "a.csv", content), key=lambda line: line["line_in_file"])
    assert [(line["line_in_file"], line["sku"]) for line in lines] == [(2, "a"), (3, None), (4, "b")]
    assert lines[1]["parse_problem"] == f"is longer than {LONGEST_LINE_BYTES} bytes"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_field_that_is_too_long_is_rejected_and_the_other_lines_are_not(landing: ObjectStore, kind: str) -> None:
    skus = ["a", "x" * (LONGEST_FIELD_BYTES + 1), "b"]
    contents = {
        "csv": "\n".join(["sku", *skus]).encode(),
        "jsonl": "\n".join(json.dumps({"sku": sku}) for sku in skus).encode(),
        "parquet": parquet_bytes({"sku": skus}),
    }
    lines = lines_of(landing, f"a.{kind}", contents[kind])
    first = 2 if kind == "csv" else 1
    assert sorted((line["line_in_file"], line["sku"]) for line in lines) == [
        (first, "a"),
        (first + 1, None),
        (first + 2, "b"),
    ]
    (problem,) = filter(None, (line["parse_problem"] for line in lines))
    assert problem == f"sku has {LONGEST_FIELD_BYTES + 1} bytes; the limit is {LONGEST_FIELD_BYTES}"


def test_parquet_of_odd_types_is_text_or_a_reason(landing: ObjectStore) -> None:
    receipts = pa.table(
        {
            "sku": pa.array([{"at": datetime(2026, 1, 1), "raw": b"\xff"}, None]),
            "store_id": pa.array([b"1", b"\xff"], pa.binary()),
            "quantity": pa.array([float("nan"), float("inf")]),
            "closed_at": pa.array([2**62, None], pa.timestamp("us", tz="UTC")),
            "till_id": pa.nulls(2),
            "net_amount": pa.array([Decimal(10) ** 60, None], pa.decimal256(70, 2)),
        }
    )
    content = io.BytesIO()
    pq.write_table(receipts, content)
    first, second = lines_of(landing, "a.parquet", content.getvalue())
    assert (first["store_id"], first["quantity"], first["till_id"]) == ("1", "nan", None)
    assert (second["line_in_file"], second["parse_problem"]) == (2, "store_id is not UTF-8; deliver the file in UTF-8")


def test_decimals_of_parquet_are_written_out_whatever_their_scale(landing: ObjectStore) -> None:
    zero = pa.array([Decimal(0), Decimal("-2.5"), None], pa.decimal128(38, 18))
    lines = lines_of(landing, "a.parquet", parquet_bytes({"net_amount": zero, "quantity": zero}))
    assert [line["net_amount"] for line in lines] == ["0.000000000000000000", "-2.500000000000000000", None]
    assert [line["quantity"] for line in lines] == [line["net_amount"] for line in lines]


def test_a_file_that_is_gone_since_it_was_listed_fails_the_step_and_is_named(landing: ObjectStore) -> None:
    with pytest.raises(StoreError, match=r"file 'file:.*/a.csv' is gone since it was listed; run the step again"):
        list(read_landed_lines(landing, "a.csv"))


CSV_PARTS = st.sampled_from(["t1,1,2\n", '"', "\n", "\r", ",", ";", "x" * 50, "\u0663", "=1+1", "\0", "'", "\ufeff"])
ANY_FILE = st.one_of(
    st.tuples(
        st.just("a.csv"), st.lists(CSV_PARTS, max_size=40).map(lambda parts: (HEADER_LINE + "".join(parts)).encode())
    ),
    st.tuples(st.sampled_from(["a.csv", "a.jsonl", "a.csv.gz", "a.jsonl.gz", "a.parquet"]), st.binary(max_size=200)),
    st.tuples(
        st.just("a.jsonl"),
        st.lists(
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sku", "x"]), inner),
                max_leaves=6,
            ),
            max_size=5,
        ).map(lambda records: "\n".join(json.dumps(record) for record in records).encode()),
    ),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(file=ANY_FILE)
def test_any_file_becomes_rows_that_are_numbered_once_and_never_an_exception(
    landing: ObjectStore, file: tuple[str, bytes]
) -> None:
    key, content = file
    lines = lines_of(landing, key, content)
    numbers = [line["line_in_file"] for line in lines]
    assert len(set(numbers)) == len(numbers)
    if content.strip() and not content.startswith(HEADER_LINE.encode()) and key != "a.jsonl":
        assert lines
    if key == "a.jsonl" and 0 not in numbers:
        assert len(lines) == sum(1 for line in content.split(b"\n") if line.strip())
