"""landed_json: pages of JSON lines ► records: one object a line, its values as they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from jobs.errors import first_line
from jobs.landed_header import ENDS_WITH_CR, is_header
from jobs.landed_lines import LONGEST_LINE_BYTES, Page, UnreadableFileError
from jobs.landed_records import Problem, Records, quoted_line

Record = Mapping[str, str | None]


def read_json_lines(pages: Iterator[Page], fields: Sequence[str]) -> Iterator[Records]:
    """Yield the records of each page; UnreadableFileError where the first line shows a file of another kind."""
    schema = pa.schema([pa.field(name, pa.string()) for name in fields])
    is_first = True
    for page in pages:
        lines = [line for line in enumerate(page.content.split(b"\n")[:-1], start=page.first_line) if line[1].strip()]
        if is_first and lines:
            _refuse_another_kind(lines[0][1], fields)
            is_first = False
        parsed = {number: _record(number, line, fields) for number, line in lines}
        records = {number: found for number, found in parsed.items() if not isinstance(found, Problem)}
        problems = [found for found in parsed.values() if isinstance(found, Problem)]
        columns = {name: [record[name] for record in records.values()] for name in fields}
        yield Records(pa.table(columns, schema=schema), np.array(list(records), np.int64), problems)


def _refuse_another_kind(line: bytes, fields: Sequence[str]) -> None:
    start = line.strip()
    if start == b"[" or (start.startswith(b"[{") and not start.endswith(b"]")):
        raise UnreadableFileError("is a JSON array; deliver one object a line", line)
    if start == b"{":
        raise UnreadableFileError("has a first line '{', an object of several lines; deliver one object a line")
    if re.search(rb"\}\s*\r\s*\{", line):
        raise UnreadableFileError(ENDS_WITH_CR, line)
    if not start.startswith(b"{") and is_header(line, fields):
        raise UnreadableFileError(f"has the header '{quoted_line(line)[:400]}', as CSV has; name it .csv")


def _record(number: int, line: bytes, fields: Sequence[str]) -> Record | Problem:
    """Return the wanted fields of a line as text, or what is wrong with it."""
    try:
        if len(line) > LONGEST_LINE_BYTES:
            raise ValueError(f"is longer than {LONGEST_LINE_BYTES} bytes")
        record = _json_object(line)
        texts = {name: _json_text(record.get(name)) for name in fields}
        "".join(text or "" for text in texts.values()).encode()
        return texts
    except (ValueError, RecursionError) as error:
        words = str(error) if type(error) is ValueError else f"is not JSON in UTF-8: {first_line(error, 200)}"
        return Problem(number, words, quoted_line(line))


def _json_object(line: bytes) -> dict[str, object]:
    record = json.loads(line.decode(), parse_float=str, parse_int=str, parse_constant=str)
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object; deliver one object a line")
    return record


def _json_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)
