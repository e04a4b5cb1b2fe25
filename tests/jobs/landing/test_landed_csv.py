import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.landing.landed_files import RECEIPT_FIELDS, read_landed_lines
from jobs.landing.landed_lines import PAGE_BYTES
from jobs.warehouse.object_store import ObjectStore

FIELD_FILES = Path(__file__).parents[1] / "field" / "transactions"
FIELDS = ["transaction_id", "store_id", "product_category", "net_amount"]
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=8)
DAMAGE = st.sampled_from([b'"', b'""', b'","', b",", b"\n", b"\r", b"\r\n", b"\xff", b"\0", b" ", b";", b"'", b"\\"])


def lines_of(landing: ObjectStore, key: str, content: bytes) -> list[dict[str, Any]]:
    landing.write(key, content)
    return [line for batch in read_landed_lines(landing, key) for line in batch.to_pylist()]


def as_csv(records: list[list[str]], quoting: int, line_end: str) -> bytes:
    text = [",".join(FIELDS)]
    for record in records:
        quoted = [f'"{value.replace(chr(34), chr(34) * 2)}"' for value in record]
        needs_quotes = quoting == csv.QUOTE_ALL or any(set(value) & set('",') for value in record)
        text.append(",".join(quoted if needs_quotes else record))
    return line_end.join([*text, ""]).encode()


RECORDS = st.lists(st.lists(LETTERS, min_size=4, max_size=4), max_size=12)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    records=RECORDS,
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    damage=st.lists(st.tuples(st.floats(0, 1), DAMAGE, st.integers(0, 3)), max_size=4),
    key=st.sampled_from(["a.csv", "a.csv.gz"]),
)
def test_every_line_is_kept_or_rejected_whatever_damages_the_file(
    landing: ObjectStore,
    records: list[list[str]],
    quoting: int,
    line_end: str,
    damage: list[tuple[float, bytes, int]],
    key: str,
) -> None:
    content = as_csv(records, quoting, line_end)
    header_end = content.index(b"\n") + 1
    for place, piece, removed_bytes in damage:
        at = header_end + round(place * (len(content) - header_end))
        content = content[:at] + piece + content[at + removed_bytes :]
    found = lines_of(landing, key, gzip.compress(content) if key == "a.csv.gz" else content)
    filled = {number: line for number, line in enumerate(content.split(b"\n"), start=1) if line.strip() and number > 1}
    assert sorted(line["line_in_file"] for line in found) == sorted(filled)
    for line in found:
        if line["parse_problem"] is None:
            text = filled[line["line_in_file"]].decode().rstrip("\r")
            (record,) = csv.reader([text], strict=True)
            assert [line[name] for name in FIELDS] == [value or None for value in record]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    skus=st.lists(LETTERS, max_size=8),
    damage=st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([b"\n", b'"', b"}", b"\xff", b"[", b"\r"]), st.integers(0, 3)),
        max_size=4,
    ),
)
def test_every_json_line_is_kept_or_rejected_whatever_damages_the_file(
    landing: ObjectStore, skus: list[str], damage: list[tuple[float, bytes, int]]
) -> None:
    content = b'{"sku": "first"}\n' + b"".join(json.dumps({"sku": sku}).encode() + b"\n" for sku in skus)
    for place, piece, removed_bytes in damage:
        at = 17 + round(place * (len(content) - 17))
        content = content[:at] + piece + content[at + removed_bytes :]
    found = lines_of(landing, "a.jsonl", content)
    filled = [number for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    assert sorted(line["line_in_file"] for line in found) == filled


def test_damage_to_a_file_of_many_pages_costs_the_damaged_lines_only(landing: ObjectStore) -> None:
    draw = random.Random(1)
    record = "r{0},0042,BREAD,10.00"
    sound = [record.format(number) for number in range(100_000)]
    damaged = set(draw.sample(range(100_000), 300))
    text = [line.replace(",BREAD", ',"BREAD') if number in damaged else line for number, line in enumerate(sound)]
    content = "\n".join([",".join(FIELDS), *text]).encode()
    assert len(content) > 2 * PAGE_BYTES
    found = lines_of(landing, "a.csv", content)
    rejected = {line["line_in_file"] - 2 for line in found if line["parse_problem"]}
    assert rejected == damaged
    assert {line["line_in_file"]: line["transaction_id"] for line in found if not line["parse_problem"]} == {
        number + 2: f"r{number}" for number in range(100_000) if number not in damaged
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('r1,1,"BREAD,1', "has a quote that is not closed, or text after a closed one; double quotes within"),
        ('r1,1,"BREAD" WHITE,1', "has a quote that is not closed, or text after a closed one; double quotes within"),
        ('r1,1,BREAD,1"', None),
        ('r1,1,7" BREAD,1', None),
        ('r1,1, "BREAD, WHITE",1', "has 5 fields, but the header has 4; a blank after a comma makes a quote part of"),
        ("r1,1,BREAD\rWHITE,1", "has a carriage return within the line; a record is one line, ended by LF or CR LF"),
        ("r1,1,BREAD,1,", "has 5 fields, but the header has 4"),
        ("r1;1;BREAD;1,00", "has 2 fields, but the header has 4"),
        ("r1,1,\u00c9,1", "product_category is not UTF-8; deliver the file in UTF-8"),
        ("r1,1,\u00c9", "has 3 fields, but the header has 4"),
    ],
)
def test_a_line_that_is_no_record_is_rejected_by_itself(landing: ObjectStore, line: str, words: str | None) -> None:
    content = f"{','.join(FIELDS)}\nr0,1,BREAD,1\n{line}\nr2,1,BREAD,1\n".encode("latin-1")
    found = sorted(lines_of(landing, "a.csv", content), key=lambda row: row["line_in_file"])
    assert [row["line_in_file"] for row in found] == [2, 3, 4]
    assert [row["transaction_id"] for row in found] == ["r0", None if words else "r1", "r2"]
    assert (found[1]["parse_problem"] or "").startswith(words or "")


@pytest.mark.parametrize(
    ("name", "kept", "problems"),
    [
        ("one_stray_quote.csv", 19, [6]),
        ("cut_in_the_middle.csv.gz", 358, [0]),
        ("ids_as_floats.csv", 6, []),
        ("leading_zeros_lost.csv", 12, []),
        ("semicolons_decimal_commas.csv", 0, [0]),
        ("utf16.csv", 0, [0]),
        ("uuid.parquet", 6, []),
        ("SALES.CSV", 6, []),
    ],
)
def test_files_as_they_arrived_are_kept_or_rejected_line_by_line(name: str, kept: int, problems: list[int]) -> None:
    found = [line for batch in read_landed_lines(ObjectStore(FIELD_FILES.as_uri()), name) for line in batch.to_pylist()]
    assert [line["line_in_file"] for line in found if line["parse_problem"]] == problems
    assert sum(line["parse_problem"] is None for line in found) == kept


def test_columns_that_nobody_asked_for_may_hold_anything(landing: ObjectStore) -> None:
    content = f'{",".join(RECEIPT_FIELDS[:2])},note,note\nt1,1,"a, b",\nt2,1,\xff,x\n'.encode("latin-1")
    assert [line["transaction_id"] for line in lines_of(landing, "a.csv", content)] == ["t1", "t2"]


@pytest.mark.parametrize("again", ["sku,quantity\n", "\ufeffsku,quantity\r\n", " sku,quantity\n"])
def test_a_header_that_comes_again_is_told_as_one(landing: ObjectStore, again: str) -> None:
    lines = lines_of(landing, "a.csv", f"sku,quantity\n1,1\n{again}2,1\n".encode())
    assert {line["line_in_file"]: (line["sku"], line["parse_problem"]) for line in lines} == {
        2: ("1", None),
        3: (None, "is the header again; if files were joined, keep only the first header"),
        4: ("2", None),
    }


def test_a_header_within_a_line_is_not_the_header_again(landing: ObjectStore) -> None:
    lines = lines_of(landing, "a.csv", b"sku\nsku of sku\n")
    assert [(line["sku"], line["parse_problem"]) for line in lines] == [("sku of sku", None)]


def test_a_stray_quote_in_the_header_costs_the_file(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "a.csv", b'sku,"quantity,net_amount\n1,1,1\n')
    assert line["line_in_file"] == 0
    assert "has a quote in its header that is not closed" in line["parse_problem"]
