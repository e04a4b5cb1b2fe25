import zlib

import pytest

from jobs.warehouse.object_store import ObjectStore
from tests.given.landed_files import HEADER_LINE, lines_of, zipped_bytes

AS_CSV = HEADER_LINE + "t1,1,2\n"
AS_JSON = '{"transaction_id": "t1", "store_id": 1}\n'


def json_lines(count: int) -> bytes:
    return b"".join(b'{"sku": "%d"}\n' % number for number in range(1, count + 1))


def csv_lines(count: int) -> bytes:
    return b"sku,quantity\n" + b"".join(b"%d,1\n" % number for number in range(1, count + 1))


@pytest.mark.parametrize(("key", "content"), [("a.jsonl.gz", json_lines(100_000)), ("a.csv.gz", csv_lines(100_000))])
@pytest.mark.parametrize("lost_bytes", [1, 8, 2000, 100_000])
def test_of_a_gzip_that_is_cut_off_the_lines_before_the_cut_are_kept(
    landing: ObjectStore, key: str, content: bytes, lost_bytes: int
) -> None:
    cut = zipped_bytes(content)[:-lost_bytes]
    *kept, last = lines_of(landing, key, cut)
    whole_lines = zlib.decompressobj(wbits=31).decompress(cut).split(b"\n")[:-1]
    assert [line["sku"] for line in kept] == [str(number) for number in range(1, len(kept) + 1)]
    assert len(kept) == len(whole_lines) - (key == "a.csv.gz")
    assert last["line_in_file"] == 0
    words = "is cut off: the end of its gzip is missing; deliver the whole file again"
    words += f"; lines up to {len(whole_lines)} are read"
    assert last["parse_problem"] == f"file '{key}' {words}"


MEMBER = zipped_bytes(b"3,1\n")


@pytest.mark.parametrize(
    ("after", "skus", "words"),
    [
        (b"\0" * 10_000, ["1", "2"], None),
        (MEMBER, ["1", "2", "3"], None),
        (b"\0" * 512 + MEMBER, ["1", "2", "3"], None),
        (zipped_bytes(b""), ["1", "2"], None),
        (b"other", ["1", "2"], "has bytes after its end that are not gzip; deliver it again; lines up to 3 are read"),
        (
            MEMBER[:-4],
            ["1", "2", "3"],
            "is cut off: the end of its gzip is missing; deliver the whole file again; lines up to 4 are",
        ),
    ],
    ids=["zeros", "another member", "zeros between members", "an empty member", "garbage", "a member that is cut off"],
)
def test_what_follows_the_end_of_a_gzip_is_read_as_gzip_reads_it(
    landing: ObjectStore, after: bytes, skus: list[str], words: str | None
) -> None:
    lines = lines_of(landing, "a.csv.gz", zipped_bytes(b"sku,quantity\n1,1\n2,1\n") + after)
    assert [line["sku"] for line in lines if line["line_in_file"]] == skus
    told = [line["parse_problem"] for line in lines if not line["line_in_file"]]
    assert len(told) == (words is not None)
    assert all(problem.startswith(f"file 'a.csv.gz' {words}") for problem in told)


def test_a_gzip_with_a_wrong_checksum_says_so_and_keeps_its_lines(landing: ObjectStore) -> None:
    content = bytearray(zipped_bytes(b"sku,quantity\n1,1\n2,1"))
    content[-8] ^= 1
    lines = lines_of(landing, "a.csv.gz", bytes(content))
    assert [(line["line_in_file"], line["sku"]) for line in lines] == [(2, "1"), (3, "2"), (0, None)]
    assert "is damaged: CRC check failed" in lines[2]["parse_problem"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("key", "content"), [("a.csv", AS_CSV), ("a.jsonl", AS_JSON), ("a.csv.gz", AS_CSV)])
def test_utf_16_is_named(landing: ObjectStore, key: str, content: str, encoding: str) -> None:
    written = content.encode(encoding)
    (line,) = lines_of(landing, key, zipped_bytes(written) if key.endswith(".gz") else written)
    name = encoding.upper()[:6]
    assert (line["line_in_file"], line["parse_problem"]) == (
        0,
        f"file '{key}' is {name}; deliver it in UTF-8, as `iconv -f {name} -t UTF-8` writes it",
    )


@pytest.mark.parametrize(
    ("key", "content", "words"),
    [
        (
            "a.csv",
            AS_CSV.replace(",", ";").encode(),
            "has the header 'transaction_id;store_id;quantity': it is separated by semicolons; "
            "separate columns by commas, and decimals by a point",
        ),
        ("a.csv", b"\xef\xbb\xbf" + AS_CSV.replace(",", "\t").encode(), "it is separated by tabs; "),
        ("a.csv", AS_CSV.replace(",", "|").encode(), "it is separated by bars; "),
        ("a.csv", AS_CSV.replace(",", '";"').encode(), "it is separated by semicolons; "),
        (
            "a.csv",
            b"name,price\nx,1\n",
            "has the header 'name,price': it has none of the columns transaction_id, store_id,",
        ),
        ("a.csv", b"r1,K5,01,c1\n", "has a first line with digits, which is not a header: it has none of the columns"),
        ("a.csv", b"sep=;\n" + AS_CSV.encode(), "has the header 'sep=;': it has none of the columns"),
        ("a.csv", b"sku,sku\n1,2\n", "has the header 'sku,sku': it has the column sku twice; deliver it once"),
        (
            "a.csv",
            AS_CSV.replace(",", ", ").encode(),
            "has the header 'transaction_id, store_id, quantity': it has ' store_id' for 'store_id'; write small",
        ),
        ("a.csv", AS_CSV.upper().encode(), "it has 'TRANSACTION_ID' for 'transaction_id'; "),
        ("a.csv", AS_CSV.replace(",", ",\u00a0").encode(), "it has '\u00a0store_id' for 'store_id'; "),
        (
            "a.csv",
            AS_CSV.replace("\n", "\r").encode(),
            "has the header 'transaction_id,store_id,quantity': it has lines that end with CR alone; end them with LF",
        ),
        (
            "a.jsonl",
            AS_JSON.replace("\n", "\r").encode() * 2,
            "has lines that end with CR alone; end them with LF or CR LF",
        ),
        ("a.csv", zipped_bytes(AS_CSV.encode()), "is gzip; name it .csv.gz or .jsonl.gz"),
        ("a.json", zipped_bytes(AS_JSON.encode()), "is gzip; name it .csv.gz or .jsonl.gz"),
        ("a.csv.gz", zipped_bytes(zipped_bytes(AS_CSV.encode())), "is gzipped twice; deliver it gzipped once"),
        (
            "a.parquet",
            zipped_bytes(AS_CSV.encode()),
            "is gzip and not Parquet, although its name says so; ",
        ),
        (
            "a.csv",
            b"PK\x03\x04" + b"x" * 100,
            "is a ZIP archive, as .xlsx files are; deliver it as CSV, JSON lines or Parquet",
        ),
        (
            "a.csv",
            b"\x28\xb5\x2f\xfd" + b"x" * 100,
            "is compressed with zstd; deliver it as CSV, JSON lines or Parquet",
        ),
        ("a.csv", b"<html>\n<title>502</title>", "is HTML or XML; deliver it as CSV, JSON lines or Parquet"),
        ("a.jsonl", b"\n <?xml version='1.0'?>\n<receipts/>", "is HTML or XML; deliver it as CSV"),
        ("a.csv.gz", b"<!DOCTYPE html>", "is HTML or XML and not gzip, although its name ends in .gz"),
        ("a.csv", b"PAR1" + b"x" * 100, "is Parquet; name it .parquet"),
        ("a.csv", b"\0" * 5000, "is zeros only; deliver it as CSV, JSON lines or Parquet"),
        ("a.csv", AS_JSON.encode(), "has JSON in its first line; name it .jsonl"),
        (
            "a.jsonl",
            AS_CSV.encode(),
            "has the header 'transaction_id,store_id,quantity', as CSV has; name it .csv",
        ),
        ("a.json", b"[\n" + AS_JSON.encode() + b"]", "is a JSON array; deliver one object per line"),
        (
            "a.json",
            b"[" + AS_JSON.encode() + b"," + AS_JSON.encode() + b"]",
            "is a JSON array; deliver one object per line",
        ),
        ("a.json", b"[" + AS_JSON.strip().encode() + b"]", "is a JSON array; deliver one object per line"),
        ("a.json", b'{\n  "sku": 1\n}', "has a first line '{', an object of several lines; deliver one object"),
    ],
)
def test_a_file_of_another_dialect_is_one_row_that_names_it(
    landing: ObjectStore, key: str, content: bytes, words: str
) -> None:
    (line,) = lines_of(landing, key, content)
    assert (line["line_in_file"], line["transaction_id"]) == (0, None)
    assert line["parse_problem"].startswith(f"file '{key}' ")
    assert words in line["parse_problem"]


@pytest.mark.parametrize(
    "content",
    [
        AS_JSON.strip() * 3,
        f'{{"lines": [{AS_JSON.strip()}]}}',
        "502 Bad Gateway\n\n",
        '{"sku": "%s"}' % ("x" * 1_100_000),
    ],
    ids=["objects without line feeds", "an object around them", "an error in words", "a line that is too long"],
)
def test_a_json_file_without_a_record_counts_as_a_file_and_its_lines_are_told_too(
    landing: ObjectStore, content: str
) -> None:
    *lines, of_the_file = sorted(
        lines_of(landing, "a.json", content.encode()), key=lambda line: line["line_in_file"] == 0
    )
    assert [line["line_in_file"] for line in lines] == [1]
    assert (of_the_file["line_in_file"], of_the_file["unparsed_line"]) == (0, "")
    assert of_the_file["parse_problem"] == (
        "file 'a.json' has no line that is an object with one of the columns; deliver one object per line"
    )


def test_a_json_key_that_comes_twice_is_no_value(landing: ObjectStore) -> None:
    content = b'{"sku": "1", "sku": "1"}\n{"sku": "2", "other": 1, "other": 2, "more": {"sku": 1, "sku": 2}}\n'
    lines = lines_of(landing, "a.jsonl", content)
    assert {line["line_in_file"]: (line["sku"], line["parse_problem"]) for line in lines} == {
        1: (None, "has sku twice; deliver it once"),
        2: ("2", None),
    }


@pytest.mark.parametrize(
    ("key", "size_bytes"), [("a.jsonl.gz", 1), ("a.csv.gz", 1), ("a.parquet", 2), ("a.parquet", 4)]
)
def test_a_file_of_a_few_bytes_is_cut_off(landing: ObjectStore, key: str, size_bytes: int) -> None:
    whole = b"PAR1" if key == "a.parquet" else MEMBER
    (line,) = lines_of(landing, key, whole[:size_bytes])
    assert line["parse_problem"].startswith(f"file '{key}' is cut off: ")


def test_a_gzip_without_a_byte_is_no_gzip(landing: ObjectStore) -> None:
    (line,) = lines_of(landing, "a.jsonl.gz", b"")
    assert line["parse_problem"] == "file 'a.jsonl.gz' is empty; deliver the whole file again"
