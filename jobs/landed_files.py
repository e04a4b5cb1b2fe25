"""landed_files: one landed file (Parquet, CSV or JSON lines, plain or gzipped) ► Arrow batches of text fields.

Every record becomes a row: one that cannot be taken apart carries its text and what is wrong with it, and so does
a file that cannot be read to its end.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

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
LONGEST_QUOTED_LINE = 10_000

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
    """Yield batches of `landed_schema(fields)` for one file; never raises for what is inside the file."""
    schema = landed_schema(fields)
    read = _reader_of(key)
    if read is None:
        yield _problem_batch(schema, key, [(0, f"file '{key}' is none of .parquet .csv .csv.gz .jsonl .jsonl.gz", "")])
        return
    problems: list[Problem] = []
    try:
        with landing.reader(key) as stream:
            for records, numbers in read(stream, fields, problems):
                yield from _record_batches(schema, key, records, numbers)
    except (pa.ArrowException, OSError, EOFError, zlib.error, ValueError) as error:
        problems.append((0, f"file '{key}' cannot be read to its end: {_first_line(error)}", ""))
    if problems:
        yield _problem_batch(schema, key, problems)


def _reader_of(key: str) -> Callable[[IO[bytes], Sequence[str], list[Problem]], Iterator[Records]] | None:
    plain_key = key.removesuffix(".gz")
    zipped = plain_key != key
    if plain_key.endswith(".parquet") and not zipped:
        return _read_parquet
    if plain_key.endswith(".csv"):
        return lambda stream, fields, problems: _read_csv(_unzipped(stream, zipped), fields, problems)
    if plain_key.endswith(".jsonl"):
        return lambda stream, fields, problems: _read_json_lines(_unzipped(stream, zipped), fields, problems)
    return None


def _unzipped(stream: IO[bytes], zipped: bool) -> pa.NativeFile:
    return pa.CompressedInputStream(stream, "gzip") if zipped else pa.PythonFile(stream, mode="r")


def _read_parquet(stream: IO[bytes], fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    parquet = pq.ParquetFile(stream)
    wanted = [name for name in parquet.schema_arrow.names if name in fields]
    numbers = count(1)
    for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
        texts = [_as_text(batch.column(name)) for name in wanted]
        yield pa.table(texts, names=wanted), list(islice(numbers, batch.num_rows))


def _read_csv(stream: pa.NativeFile, fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    skipped: set[int] = set()

    def keep_problem(row: pa_csv.InvalidRow) -> str:
        number = row.number - 1
        skipped.add(number)
        problems.append((number, f"has {row.actual_columns} fields, the header has {row.expected_columns}", row.text))
        return "skip"

    reader = pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep_problem),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in fields},
            include_columns=list(fields),
            include_missing_columns=True,
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    numbers = (number for number in count(1) if number not in skipped)
    for batch in reader:
        yield pa.Table.from_batches([batch]), list(islice(numbers, batch.num_rows))


def _read_json_lines(stream: pa.NativeFile, fields: Sequence[str], problems: list[Problem]) -> Iterator[Records]:
    text_fields = pa.schema([pa.field(name, pa.string()) for name in fields])
    lines = enumerate(io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8", errors="replace"), start=1)
    while page := list(islice(lines, BATCH_ROWS)):
        parsed = [(number, _parse_json(number, line, problems)) for number, line in page if line.strip()]
        good = [(number, record) for number, record in parsed if record is not None]
        columns = {name: [_json_text(record.get(name)) for _, record in good] for name in fields}
        yield pa.table(columns, schema=text_fields), [number for number, _ in good]


def _parse_json(number: int, line: str, problems: list[Problem]) -> dict[str, object] | None:
    try:
        record = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        problems.append((number, f"is not JSON: {_first_line(error)}", line))
        return None
    if not isinstance(record, dict):
        problems.append((number, "is not a JSON object", line))
        return None
    return record


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type) and column.type.tz not in (None, "UTC"):
        column = column.cast(pa.timestamp(column.type.unit, tz="UTC"))
    if pa.types.is_nested(column.type):
        return pa.array([_json_text(value) for value in column.to_pylist()], pa.string())
    return pc.cast(column, pa.string())


def _record_batches(schema: pa.Schema, key: str, records: pa.Table, numbers: list[int]) -> Iterator[pa.RecordBatch]:
    rows = len(numbers)
    nothing = pa.nulls(rows, pa.string())
    names = schema.names[len(PLACE_FIELDS) :]
    fields = [records[name].cast(pa.string()) if name in records.column_names else nothing for name in names]
    columns = [pa.repeat(key, rows), pa.array(numbers, pa.int64()), nothing, nothing, *fields]
    yield from pa.table(columns, schema=schema).to_batches(max_chunksize=BATCH_ROWS)


def _problem_batch(schema: pa.Schema, key: str, problems: list[Problem]) -> pa.RecordBatch:
    rows = [
        {
            "source_file": key,
            "line_in_file": number,
            "parse_problem": problem,
            "unparsed_line": line.rstrip("\n")[:LONGEST_QUOTED_LINE],
        }
        for number, problem, line in problems
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
