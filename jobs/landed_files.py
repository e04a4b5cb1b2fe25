"""landed_files: one landed file (Parquet, CSV or JSON lines, plain or gzipped) ► Arrow batches of text fields.

Every record becomes a row: one that cannot be taken apart carries its text and what is wrong with it, and so does
a file that cannot be read to its end. Files are hostile: how far one unfolds, how long its lines and how large its
fields may be is bounded, and only a page of it is held in memory.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.errors import InputError, StoreError, UnusableKeyError, first_line
from jobs.object_store import ObjectStore

RECEIPT_FIELDS = (
    "transaction_id",
    "store_id",
    "till_id",
    "cashier_id",
    "opened_at",
    "closed_at",
    "line_number",
    "line_type",
    "sku",
    "product_category",
    "quantity",
    "net_amount",
    "currency",
    "is_alcohol",
    "id_check",
)
OUTCOME_FIELDS = ("case_id", "reviewed_at", "reviewer_outcome")
PLACE_FIELDS = (
    pa.field("source_file", pa.string()),
    pa.field("line_in_file", pa.int64()),
    pa.field("parse_problem", pa.string()),
    pa.field("unparsed_line", pa.string()),
)
BATCH_ROWS = 20_000
PAGE_BYTES = 1024 * 1024
LARGEST_PAGE_BYTES = 16 * PAGE_BYTES
LONGEST_LINE_BYTES = PAGE_BYTES
"""Longer lines are no receipt lines; nor are longer records of a CSV, whose values may hold line breaks."""
LONGEST_FIELD_BYTES = 10_000
LONGEST_QUOTED_LINE = 10_000
MOST_BROKEN_AT_ONCE = 100_000
"""A CSV with more broken records in a row, without a sound one between them, is read no further."""
MOST_UNFOLDED_PER_BYTE = 100
LEAST_UNFOLDED_BYTES = 64 * 1024 * 1024
"""A file may unfold to the former times its size, or to the latter if that is more; receipts come to some 10 times."""
LEAST_PARQUET_ROWS = 1_000_000
"""A Parquet file may have so many rows, or one for each of its bytes if that is more."""

Records = tuple[pa.Table, list[int]]
"""Text columns, and the number of each row in its file."""
Problem = tuple[int, str, str]
"""Number in the file, what is wrong, the text."""


def landed_schema(fields: Sequence[str]) -> pa.Schema:
    """Return the schema of landed records: where they come from, what is wrong with them, and text fields."""
    return pa.schema([*PLACE_FIELDS, *(pa.field(name, pa.string()) for name in fields)])


LANDED_LINE_SCHEMA = landed_schema(RECEIPT_FIELDS)


def read_landed_lines(
    landing: ObjectStore, key: str, fields: Sequence[str] = RECEIPT_FIELDS
) -> Iterator[pa.RecordBatch]:
    """Yield batches of `landed_schema(fields)` for one file; never raises for what is inside the file.

    Raises StoreError or InputError naming the object when the store does not hand out all of it.
    """
    schema = landed_schema(fields)
    problems: list[Problem] = []
    try:
        for records, numbers in _records(landing, key, fields, problems):
            yield from _record_batches(schema, key, records, numbers, problems)
            if problems:
                yield _problem_batch(schema, key, problems)
                problems.clear()
    except UnusableKeyError as error:
        problems.append((0, str(error), ""))
    except InputError:
        raise
    except FileNotFoundError:
        raise StoreError(f"file '{landing.location(key)}' is gone since it was listed; run the step again") from None
    except Exception as error:  # whatever a library makes of hostile bytes
        problems.append((0, f"file '{key}' cannot be read to its end: {first_line(error, 200)}", ""))
    if problems:
        yield _problem_batch(schema, key, problems)


def _records(landing: ObjectStore, key: str, fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    read = _reader_of(key)
    if read is None:
        problems.append((0, f"file '{key}' is none of .parquet .csv .csv.gz .jsonl .jsonl.gz", ""))
        return
    with landing.reader(key) as stream:
        yield from read(stream, fields, problems)


def _reader_of(key: str) -> Callable[[io.BufferedReader, Sequence[str], list[Problem]], Iterator[Records]] | None:
    plain_key = key.removesuffix(".gz")
    zipped = plain_key != key
    if plain_key.endswith(".parquet") and not zipped:
        return _read_parquet
    if plain_key.endswith(".csv"):
        return lambda stream, fields, problems: _read_csv(_unzipped(stream, zipped), fields, problems)
    if plain_key.endswith(".jsonl"):
        return lambda stream, fields, problems: _read_json_lines(_unzipped(stream, zipped), fields, problems)
    return None


def _most_unfolded(stream: io.BufferedReader) -> int:
    size_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return max(LEAST_UNFOLDED_BYTES, MOST_UNFOLDED_PER_BYTE * size_bytes)


def _unzipped(stream: io.BufferedReader, zipped: bool) -> io.BufferedReader:
    if not zipped:
        return stream
    most_bytes = _most_unfolded(stream)
    return io.BufferedReader(_Bounded(pa.CompressedInputStream(stream, "gzip"), most_bytes), PAGE_BYTES)


class _Bounded(io.RawIOBase):
    """A stream that ends with a ValueError once it has given too many bytes."""

    def __init__(self, stream: pa.NativeFile, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        self._given += len(content)
        if self._given > self._most_bytes:
            raise ValueError(f"it unfolds to more than {self._most_bytes} bytes")
        buffer[: len(content)] = content
        return len(content)


def _read_parquet(stream: io.BufferedReader, fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    most_bytes = _most_unfolded(stream)
    parquet = pq.ParquetFile(stream)
    groups = [parquet.metadata.row_group(index) for index in range(parquet.metadata.num_row_groups)]
    most_rows = max(LEAST_PARQUET_ROWS, most_bytes // MOST_UNFOLDED_PER_BYTE)
    if sum(group.total_byte_size for group in groups) > most_bytes or parquet.metadata.num_rows > most_rows:
        raise ValueError(f"it unfolds to more than {most_bytes} bytes or {most_rows} rows")
    wanted = _columns_in(parquet.schema_arrow.names, fields)
    numbers = count(1)
    for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
        texts = [_as_text(batch.column(name)) for name in wanted]
        yield pa.table(texts, names=wanted), list(islice(numbers, batch.num_rows))


def _columns_in(names: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Return which of the fields a file has; ValueError when it has none of them, or one twice."""
    wanted = [name for name in names if name in fields]
    if not wanted:
        shown = ", ".join(names)[:200]
        raise ValueError(f"it has none of the columns {', '.join(fields)}, but '{shown}'")
    if twice := {name for name in wanted if wanted.count(name) > 1}:
        raise ValueError(f"it has the column {min(twice)} twice")
    return wanted


def _read_csv(stream: io.BufferedReader, fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    if not stream.peek(1):
        raise ValueError("it is empty")
    header = _csv_header(stream)
    wanted = _columns_in(header, fields)
    if not stream.peek(1):
        return
    skipped: set[int] = set()

    def keep_problem(row: pa_csv.InvalidRow) -> str:
        skipped.add(row.number)
        words = f"has {row.actual_columns} fields, the header has {row.expected_columns}"
        problems.append((row.number, words, row.text[:LONGEST_QUOTED_LINE]))
        return "skip" if len(problems) < MOST_BROKEN_AT_ONCE else "error"

    reader = pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(
            use_threads=False,
            block_size=PAGE_BYTES,
            column_names=[name if name in wanted else f"column {place}" for place, name in enumerate(header)],
        ),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep_problem),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.binary() for name in wanted},
            include_columns=wanted,
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    numbers = (number for number in count(1) if number not in skipped)
    for batch in reader:
        yield pa.Table.from_batches([batch]), list(islice(numbers, batch.num_rows))


def _csv_header(stream: io.BufferedReader) -> list[str]:
    line = b"\n"
    while line and not line.strip():
        line = stream.readline(LONGEST_LINE_BYTES)
    return next(csv.reader([line.decode("utf-8-sig", errors="replace")]), [])


def _read_json_lines(stream: io.BufferedReader, fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    text_fields = pa.schema([pa.field(name, pa.string()) for name in fields])
    for page in _pages(stream):
        parsed = [(number, _parse_json(number, line, fields, problems)) for number, line in page if line.strip()]
        good = [(number, record) for number, record in parsed if record is not None]
        columns = {name: [record[name] for _, record in good] for name in fields}
        yield pa.table(columns, schema=text_fields), [number for number, _ in good]


def _pages(stream: io.BufferedReader) -> Iterator[list[tuple[int, bytes]]]:
    """Yield numbered lines, so many at a time; of a stream that cannot be read to its end, all those before too."""
    page: list[tuple[int, bytes]] = []
    size_bytes = 0
    try:
        for number, line in enumerate(_lines(stream), start=1):
            page.append((number, line))
            size_bytes += len(line)
            if len(page) == BATCH_ROWS or size_bytes >= LARGEST_PAGE_BYTES:
                yield page
                page, size_bytes = [], 0
    except Exception:
        yield page
        raise
    yield page


def _lines(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield lines; of one that is too long only the beginning, which is one byte longer than lines may be."""
    bom = codecs.BOM_UTF8
    while line := stream.readline(LONGEST_LINE_BYTES + 1):
        rest = line
        while len(rest) > LONGEST_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST_LINE_BYTES + 1)
        yield line.removeprefix(bom)
        bom = b""


def _parse_json(
    number: int, line: bytes, fields: Sequence[str], problems: list[Problem]
) -> Mapping[str, str | None] | None:
    try:
        if len(line) > LONGEST_LINE_BYTES:
            raise ValueError(f"is longer than {LONGEST_LINE_BYTES} bytes")
        record = _json_object(line)
        texts = {name: _json_text(record.get(name)) for name in fields}
        "".join(text or "" for text in texts.values()).encode()
        return texts
    except (ValueError, RecursionError) as error:
        told = str(error) if type(error) is ValueError else f"is not JSON in UTF-8: {first_line(error, 200)}"
        problems.append((number, told, line[:LONGEST_QUOTED_LINE].decode(errors="replace")))
        return None


def _json_object(line: bytes) -> dict[str, object]:
    record = json.loads(line.decode(), parse_float=str, parse_int=str, parse_constant=str)
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object")
    return record


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type) and column.type.tz not in (None, "UTC"):
        column = column.cast(pa.timestamp(column.type.unit, tz="UTC"))
    if pa.types.is_nested(column.type):
        return pa.array([_json_text(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        return column
    return pc.cast(column, pa.string())


def _record_batches(
    schema: pa.Schema, key: str, records: pa.Table, numbers: list[int], problems: list[Problem]
) -> Iterator[pa.RecordBatch]:
    texts, kept = _usable_texts(records, numbers, problems)
    rows = len(kept)
    nothing = pa.nulls(rows, pa.string())
    names = schema.names[len(PLACE_FIELDS) :]
    fields = [texts.get(name, nothing) for name in names]
    columns = [pa.repeat(key, rows), pa.array(kept, pa.int64()), nothing, nothing, *fields]
    yield from pa.table(columns, schema=schema).to_batches(max_chunksize=BATCH_ROWS)


def _usable_texts(
    records: pa.Table, numbers: list[int], problems: list[Problem]
) -> tuple[dict[str, pa.Array], list[int]]:
    """Return the fields of records as text, without records that hold a field which is too long or not UTF-8."""
    columns = {name: records[name].combine_chunks() for name in records.column_names}
    complaints: dict[int, str] = {}
    for name, column in columns.items():
        complaints |= {row: f"{name} {words}" for row, words in _unusable_fields(column)}
    if complaints:
        keep = pa.array([row not in complaints for row in range(len(numbers))])
        problems += [(numbers[row], words, _quoted(columns, row)) for row, words in sorted(complaints.items())]
        numbers = [number for row, number in enumerate(numbers) if row not in complaints]
        columns = {name: column.filter(keep) for name, column in columns.items()}
    return {name: column.cast(pa.string()) for name, column in columns.items()}, numbers


def _unusable_fields(column: pa.Array) -> Iterator[tuple[int, str]]:
    """Yield the rows whose field cannot be taken as text, with the reason."""
    if pa.types.is_null(column.type):
        return
    lengths = pc.fill_null(pc.binary_length(column), 0)
    for row in pc.indices_nonzero(pc.greater(lengths, LONGEST_FIELD_BYTES)).to_pylist():
        yield row, f"has {lengths[row]} bytes, the limit is {LONGEST_FIELD_BYTES}"
    try:
        column.cast(pa.string()).validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(column):
            if value.is_valid and not _is_utf8(value.as_buffer().to_pybytes()):
                yield row, "is not UTF-8"


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _quoted(columns: Mapping[str, pa.Array], row: int) -> str:
    values = ((name, column[row]) for name, column in columns.items())
    texts = {
        name: value.as_buffer()[:LONGEST_QUOTED_LINE].to_pybytes().decode(errors="replace")
        for name, value in values
        if value.is_valid
    }
    return json.dumps(texts, ensure_ascii=False)


def _problem_batch(schema: pa.Schema, key: str, problems: list[Problem]) -> pa.RecordBatch:
    rows = [
        {
            "source_file": key,
            "line_in_file": number,
            "parse_problem": problem,
            "unparsed_line": line.rstrip("\r\n")[:LONGEST_QUOTED_LINE],
        }
        for number, problem, line in problems
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schema)
