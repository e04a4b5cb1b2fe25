"""landed_csv: reads CSV lines as records. A record is one line, so a stray quote spoils its own line only."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from jobs.landing.landed_header import header_names, wanted_columns
from jobs.landing.landed_lines import LONGEST_LINE_BYTES, Page, UnreadableFileError
from jobs.landing.landed_records import Problem, Records, quoted_line

FIELD = r'(?:"(?:[^"\r]|"")*"|[^",\r\n][^,\r\n]*|)'
"""One field within its line: quoted, with inner quotes doubled; or unquoted, where a later quote is a plain letter."""
SOUND_LINE = rf"\A{FIELD}(?:,{FIELD})*\r*\n$"
BLANK_LINE = r"\A\s*$"


@dataclass(frozen=True)
class _Columns:
    """The columns of a CSV file: all names, the wanted names, and the line that named them."""

    names: Sequence[str]
    wanted: Sequence[str]
    header: bytes


def read_csv(pages: Iterator[Page], fields: Sequence[str]) -> Iterator[Records]:
    """Yield the records of each page of a CSV file. Raises UnreadableFileError if its header has none of the fields."""
    columns: _Columns | None = None
    for page in pages:
        if columns is None:
            header, page = _header_and_rest(page)
            columns = _columns(header, fields) if header else None
        if columns and page.content:
            yield _records(page, columns)
    if columns is None:
        raise UnreadableFileError("is empty; deliver a header and lines, or put _ before its name")


def _header_and_rest(page: Page) -> tuple[bytes, Page]:
    """Return the first line of a page that is not blank (empty if all are) and the page after it."""
    blank_bytes = len(page.content) - len(page.content.lstrip())
    begin = page.content.rfind(b"\n", 0, blank_bytes) + 1
    end = page.content.find(b"\n", begin) + 1 or len(page.content)
    return page.content[begin:end], page.after(end)


def _columns(header: bytes, fields: Sequence[str]) -> _Columns:
    if header.lstrip().startswith(b"{"):
        raise UnreadableFileError("has JSON in its first line; name it .jsonl", header)
    names = header_names(header)
    wanted = wanted_columns(names, fields)
    if not _flags(pa.array([header.rstrip(b"\r\n") + b"\n"], pa.binary()), SOUND_LINE)[0]:
        raise UnreadableFileError("has a quote in its header that is not closed; deliver the header without quotes")
    # Unwanted columns get names of their own, because they may repeat.
    all_names = [name if name in fields else f"column {place}" for place, name in enumerate(names)]
    return _Columns(all_names, wanted, header.strip().removeprefix(codecs.BOM_UTF8))


def _records(page: Page, columns: _Columns) -> Records:
    """Parse a page as a whole if that gives one row per line; otherwise parse its sound lines."""
    # The fast way is right only if every line is one record: no repeated header, no line feed inside quotes.
    if columns.header not in page.content and _is_regular(page.content):
        try:
            table = _parsed(page.content, columns)
        except pa.ArrowInvalid:  # a line has more or fewer fields than the header
            return _records_of_sound_lines(page, columns)
        if table.num_rows == page.line_count:
            return Records(table, np.arange(page.first_line, page.first_line + page.line_count))
    return _records_of_sound_lines(page, columns)


def _is_regular(content: bytes) -> bool:
    """Say whether each line feed ends a record, if there are as many records as lines."""
    letters = np.frombuffer(content, np.uint8)
    if content.find(b"\n") > LONGEST_LINE_BYTES:
        return False
    if b"\r" in content and (letters[np.flatnonzero(letters == ord("\r")) + 1] != ord("\n")).any():
        return False
    return b'"' not in content or _quotes_are_paired(letters)


def _quotes_are_paired(letters: np.ndarray) -> bool:
    """Say whether quotes open and close fields in turn; a doubled quote closes its field and opens it again."""
    quotes = np.flatnonzero(letters == ord('"'))
    opens = _are_any(letters[quotes[0::2] - 1], b',\n"')  # the letter before the first one is the last, a feed
    closes = _are_any(letters[quotes[1::2] + 1], b',\r\n"')
    return len(quotes) % 2 == 0 and opens and closes


def _are_any(letters: np.ndarray, allowed: bytes) -> bool:
    """Say whether all letters are among a few; this is four times faster than looking each one up."""
    return bool(np.logical_or.reduce([letters == letter for letter in allowed]).all())


def _records_of_sound_lines(page: Page, columns: _Columns) -> Records:
    lines = _lines(page.content)
    numbers = np.arange(page.first_line, page.first_line + len(lines))
    is_blank = _flags(lines, BLANK_LINE)
    is_sound = _flags(lines, SOUND_LINE) & np.asarray(pc.less_equal(pc.binary_length(lines), LONGEST_LINE_BYTES + 1))
    field_counts = _field_counts(lines)
    is_record = ~is_blank & is_sound & (field_counts == len(columns.names)) & ~_are_headers(lines, columns)
    rejected = [(row, lines[row].as_py()) for row in np.flatnonzero(~is_blank & ~is_record)]
    problems = [
        Problem(int(numbers[row]), _what_is_wrong(line, is_sound[row], field_counts[row], columns), quoted_line(line))
        for row, line in rejected
    ]
    # What is sound by itself is sound in this company too: no quote is open at the end of a line.
    kept = lines.filter(pa.array(is_record)).to_pylist()
    return Records(_parsed(b"".join(kept), columns), numbers[is_record], problems)


def _lines(content: bytes) -> pa.BinaryArray:
    """Return the lines of a page, each with its line feed, without copying them."""
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(content)])


def _field_counts(lines: pa.BinaryArray) -> np.ndarray:
    """Count the fields of sound lines: with a comma put before the line, every field is a comma and what follows it."""
    after_comma = pc.binary_join_element_wise(pa.scalar(b","), lines, pa.scalar(b""))
    return np.asarray(pc.count_substring_regex(after_comma, f",{FIELD}"))


def _are_headers(lines: pa.BinaryArray, columns: _Columns) -> np.ndarray:
    """Say which lines repeat the header, as in files that were joined together."""
    has_header = np.asarray(pc.match_substring(lines, columns.header), bool)
    for row in np.flatnonzero(has_header):
        has_header[row] = _is_header(lines[row].as_py(), columns)
    return has_header


def _is_header(line: bytes, columns: _Columns) -> bool:
    return line.strip().removeprefix(codecs.BOM_UTF8) == columns.header


def _what_is_wrong(line: bytes, is_sound: bool, field_count: int, columns: _Columns) -> str:
    if len(line) > LONGEST_LINE_BYTES + 1:
        return f"is longer than {LONGEST_LINE_BYTES} bytes"
    if b"\r" in line.rstrip(b"\r\n"):
        return "has a carriage return within the line; a record is one line, ended by LF or CR LF"
    if _is_header(line, columns):
        return "is the header again; if files were joined, keep only the first header"
    hint = "; a blank after a comma makes a quote part of the text" if b', "' in line else ""
    if not is_sound:
        return f"has a quote that is not closed, or text after a closed one; double quotes within a quoted field{hint}"
    return f"has {field_count} fields, but the header has {len(columns.names)}{hint}"


def _parsed(content: bytes, columns: _Columns) -> pa.Table:
    if not content:
        return pa.table({name: pa.array([], pa.binary()) for name in columns.wanted})
    # One block: the page is parsed as a whole, without threads, because Spark already runs a task per core.
    return pa_csv.read_csv(
        pa.BufferReader(content),
        read_options=pa_csv.ReadOptions(
            use_threads=False, block_size=len(content) + 1, column_names=list(columns.names)
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.binary() for name in columns.wanted},
            include_columns=list(columns.wanted),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _flags(lines: pa.BinaryArray, pattern: str) -> np.ndarray:
    return np.asarray(pc.match_substring_regex(lines, pattern), bool)
