"""landed_json: reads JSON lines as records: one object per line, with its values as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.errors import first_line
from jobs.landing.landed_header import ENDS_WITH_CR, is_header
from jobs.landing.landed_ids import ID_FIELDS, number_as_id
from jobs.landing.landed_lines import LONGEST_LINE_BYTES, Page, UnreadableFileError
from jobs.landing.landed_records import Problem, Records, quoted_line

Record = Mapping[str, str | None]
NO_RECORD = "has no line that is an object with one of the columns; deliver one object per line"


class _Number(str):
    """A number with a point or an exponent, as it was written."""


class _AmbiguousObject(dict[str, object]):
    """An object with a key that occurs twice."""

    twice: frozenset[str] = frozenset()


def read_json_lines(pages: Iterator[Page], fields: Sequence[str]) -> Iterator[Records]:
    """Yield the records of each page of a JSON lines file. Raises UnreadableFileError if the file is something else.

    The first line shows that, or no line is a record: an array on one line, objects without line feeds, an HTML page.
    """
    schema = pa.schema([pa.field(name, pa.string()) for name in fields])
    is_first, has_record = True, False
    for page in pages:
        lines = [line for line in enumerate(page.content.split(b"\n")[:-1], start=page.first_line) if line[1].strip()]
        if is_first and lines:
            _refuse_another_kind(lines[0][1], fields)
            is_first = False
        parsed = {number: _record(number, line, fields) for number, line in lines}
        records = {number: found for number, found in parsed.items() if not isinstance(found, Problem)}
        problems = [found for found in parsed.values() if isinstance(found, Problem)]
        columns = {name: [record[name] for record in records.values()] for name in fields}
        has_record = has_record or any(map(any, columns.values()))
        yield Records(pa.table(columns, schema=schema), np.array(list(records), np.int64), problems)
    if not (is_first or has_record):
        raise UnreadableFileError(NO_RECORD)


def _refuse_another_kind(line: bytes, fields: Sequence[str]) -> None:
    start = line.strip()
    if start == b"[" or re.match(rb"\[\s*\{", start):
        raise UnreadableFileError("is a JSON array; deliver one object per line", line)
    if start == b"{":
        raise UnreadableFileError("has a first line '{', an object of several lines; deliver one object per line")
    if re.search(rb"\}\s*\r\s*\{", line):
        raise UnreadableFileError(ENDS_WITH_CR, line)
    if not start.startswith(b"{") and is_header(line, fields):
        raise UnreadableFileError(f"has the header '{quoted_line(line)[:400]}', as CSV has; name it .csv")


def _record(number: int, line: bytes, fields: Sequence[str]) -> Record | Problem:
    """Return the wanted fields of a line as text, or what is wrong with the line."""
    try:
        if len(line) > LONGEST_LINE_BYTES:
            raise ValueError(f"is longer than {LONGEST_LINE_BYTES} bytes")
        record = _json_object(line)
        if twice := record.twice & set(fields) if isinstance(record, _AmbiguousObject) else None:
            raise ValueError(f"has {min(twice)} twice; deliver it once")
        texts = {name: _json_text(record.get(name), name in ID_FIELDS) for name in fields}
        # A lone surrogate such as \ud800 passes the parser; it is no text in UTF-8 and fails here.
        "".join(text or "" for text in texts.values()).encode()
        return texts
    except (ValueError, RecursionError) as error:
        # A plain ValueError is one of our own sentences above; subclasses come from the parsers.
        words = str(error) if type(error) is ValueError else f"is not JSON in UTF-8: {first_line(error, 200)}"
        return Problem(number, words, quoted_line(line))


def _json_object(line: bytes) -> dict[str, object]:
    record = _parsed(line, None)
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object; deliver one object per line")
    # A line with as many names as keys has none twice; the other parser takes a sixth longer.
    name_count = line.count(b'":') + line.count(b'" :')
    return record if name_count == len(record) else _parsed(line, _object)


def _parsed(line: bytes, as_object: Callable[[list[tuple[str, object]]], object] | None) -> Any:
    # Numbers stay text: a float would round long ids and amounts.
    return json.loads(
        line.decode(), parse_float=_Number, parse_int=str, parse_constant=str, object_pairs_hook=as_object
    )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object and the keys that occur twice: json keeps the last value of such a key without an error."""
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    ambiguous = _AmbiguousObject(record)
    names = [name for name, _ in pairs]
    ambiguous.twice = frozenset(name for name in record if names.count(name) > 1)
    return ambiguous


def _json_text(value: object, is_id: bool) -> str | None:
    if is_id and isinstance(value, _Number) and "e" in value.lower() and "+" not in value:
        return number_as_id(float(value))
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)
