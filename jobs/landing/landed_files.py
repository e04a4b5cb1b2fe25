"""landed_files: reads a delivered file (Parquet, CSV or JSON lines, also gzipped) into Arrow batches of text fields.

Every line becomes a row. A line that is not a record becomes a row with its text and the reason; so does a file that
cannot be read, or not to the end. Files are treated as hostile: the unzipped size of a file and the length of lines and
fields are bounded, and only one page of a file is in memory.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import InputError, StoreError, UnusableKeyError, first_line
from jobs.landing.landed_csv import read_csv
from jobs.landing.landed_ids import ID_FIELDS, lost_ids, may_hold_numbers, restored_id, restored_ids
from jobs.landing.landed_json import read_json_lines
from jobs.landing.landed_lines import UnreadableFileError, pages
from jobs.landing.landed_parquet import read_parquet
from jobs.landing.landed_records import BATCH_ROWS, LONGEST_QUOTED_LINE, Problem, Records, quoted_line
from jobs.warehouse.object_store import ObjectStore

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
LINE_ENDINGS = {".csv": read_csv, ".jsonl": read_json_lines, ".json": read_json_lines, ".ndjson": read_json_lines}
PARQUET_ENDING = ".parquet"
ZIPPED_ENDING = ".gz"
LONGEST_FIELD_BYTES = 10_000
"""A longer field is rejected with its line, before it can take memory in every table."""


def landed_schema(fields: Sequence[str]) -> pa.Schema:
    """Return the schema of delivered records: file and line of each, its problem if it has one, and its text fields."""
    return pa.schema([*PLACE_FIELDS, *(pa.field(name, pa.string()) for name in fields)])


LANDED_LINE_SCHEMA = landed_schema(RECEIPT_FIELDS)


def has_known_ending(key: str) -> bool:
    """Say whether the ending of a file's name, such as .csv.gz, is that of a known format, in any case."""
    return key.lower().endswith(PARQUET_ENDING) or _line_ending(key) is not None


def read_landed_lines(
    landing: ObjectStore, key: str, fields: Sequence[str] = RECEIPT_FIELDS
) -> Iterator[pa.RecordBatch]:
    """Read one delivered file as batches of `landed_schema(fields)`. The content of the file never raises an error.

    A row with line_in_file 0 is about the whole file. Raises StoreError or InputError that names the object if the
    object store does not return all of it.
    """
    schema = landed_schema(fields)
    try:
        for records in _records(landing, key, fields):
            kept, problems = _usable_texts(records)
            yield from _record_batches(schema, key, kept)
            yield from _problem_batches(schema, key, problems)
    except UnusableKeyError as error:
        yield from _problem_batches(schema, key, [Problem(0, str(error), "")])
    # The store failed, not the file: without this, the last clause would blame the file.
    except InputError:
        raise
    except FileNotFoundError:
        raise StoreError(f"file '{landing.location(key)}' is gone since it was listed; run the step again") from None
    except UnreadableFileError as error:
        problem = Problem(0, f"file '{key}' {error}", quoted_line(error.text))
        yield from _problem_batches(schema, key, [problem])
    except Exception as error:  # whatever a library makes of hostile bytes
        words = f"file '{key}' cannot be read to its end: {first_line(error, 200)}; deliver it again"
        yield from _problem_batches(schema, key, [Problem(0, words, "")])


def _records(landing: ObjectStore, key: str, fields: Sequence[str]) -> Iterator[Records]:
    if not has_known_ending(key):
        endings = [PARQUET_ENDING, *(f"{ending} {ending}{ZIPPED_ENDING}" for ending in LINE_ENDINGS)]
        raise UnreadableFileError(f"is none of {' '.join(endings)}; begin its name with _ if it is not data")
    with landing.reader(key) as stream:
        yield from _records_of(stream, key, fields)


def _records_of(stream: io.BufferedReader, key: str, fields: Sequence[str]) -> Iterator[Records]:
    ending = _line_ending(key)
    if ending is None:
        return read_parquet(stream, fields)
    return LINE_ENDINGS[ending](pages(stream, zipped=key.lower().endswith(ZIPPED_ENDING)), fields)


def _line_ending(key: str) -> str | None:
    unzipped = key.lower().removesuffix(ZIPPED_ENDING)
    return next((ending for ending in LINE_ENDINGS if unzipped.endswith(ending)), None)


def _record_batches(schema: pa.Schema, key: str, records: Records) -> Iterator[pa.RecordBatch]:
    rows = len(records.lines)
    nothing = pa.nulls(rows, pa.string())
    texts = {name: records.columns[name] for name in records.columns.column_names}
    fields = [texts.get(name, nothing) for name in schema.names[len(PLACE_FIELDS) :]]
    columns = [pa.repeat(key, rows), pa.array(records.lines, pa.int64()), nothing, nothing, *fields]
    yield from pa.table(columns, schema=schema).to_batches(max_chunksize=BATCH_ROWS)


def _usable_texts(records: Records) -> tuple[Records, list[Problem]]:
    """Return the records as text, and the lines with a field that is not text or has a damaged id."""
    columns = {name: records.columns[name].combine_chunks() for name in records.columns.column_names}
    numbered = {name for name, column in columns.items() if may_hold_numbers(name, column)}
    lines, problems = records.lines, list(records.problems)
    complaints = {row: words for name in numbered for row, words in lost_ids(name, columns[name])}
    if complaints := complaints | {row: words for name in columns for row, words in _no_texts(name, columns[name])}:
        problems += [
            Problem(int(lines[row]), words, _quoted(columns, row)) for row, words in sorted(complaints.items())
        ]
        # Lines with a complaint are moved from the records to the problems, each under its line number.
        is_kept = ~np.isin(np.arange(len(lines)), list(complaints))
        lines = lines[is_kept]
        columns = {name: column.filter(pa.array(is_kept)) for name, column in columns.items()}
    texts = {name: column.view(pa.string()) for name, column in columns.items()}
    restored = {name: restored_ids(texts[name]) for name in numbered}
    return Records(pa.table(texts | restored), lines), problems


def _no_texts(name: str, column: pa.Array) -> Iterator[tuple[int, str]]:
    """Yield the rows with a field that cannot be read as text, with the reason."""
    if pa.types.is_null(column.type):
        return
    lengths = pc.binary_length(column)
    if (pc.max(lengths).as_py() or 0) > LONGEST_FIELD_BYTES:
        for row in pc.indices_nonzero(pc.greater(lengths, LONGEST_FIELD_BYTES).fill_null(False)).to_pylist():
            yield row, f"{name} has {lengths[row]} bytes; the limit is {LONGEST_FIELD_BYTES}"
    try:
        # A cast to text checks bytes; what a Parquet file calls text, nothing has checked yet.
        column.validate(full=True) if pa.types.is_string(column.type) else column.cast(pa.string())
    except pa.ArrowInvalid:
        for row, value in enumerate(column):
            if value.is_valid and not _is_utf8(value.as_buffer().to_pybytes()):
                yield row, f"{name} is not UTF-8; deliver the file in UTF-8"


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
    # An erased receipt is known by its ids in rejected lines too, so these have the form of all others.
    as_ids = {name: restored_id(text) if name in ID_FIELDS else text for name, text in texts.items()}
    return json.dumps(as_ids, ensure_ascii=False)


def _problem_batches(schema: pa.Schema, key: str, problems: Sequence[Problem]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(problems), BATCH_ROWS):
        rows = [
            {"source_file": key, "line_in_file": line, "parse_problem": words, "unparsed_line": text}
            for line, words, text in problems[start : start + BATCH_ROWS]
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=schema)
