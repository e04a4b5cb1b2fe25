"""landed_header: finds the columns of the contract in a delivered file, and explains a header that has none of them."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Sequence

from jobs.landing.landed_lines import UnreadableFileError

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
ENDS_WITH_CR = "has lines that end with CR alone; end them with LF or CR LF"
LONGEST_QUOTED_HEADER = 400


def header_names(line: bytes) -> list[str]:
    """Return the column names of a CSV header line. Raises UnreadableFileError if the lines end with CR alone."""
    header, *others = line.decode("utf-8-sig", errors="replace").rstrip("\r\n").split("\r")
    names = next(csv.reader([header]), [])
    # Everything after a lone carriage return was split off: the file has no line feeds.
    if others:
        raise _refused(names, ENDS_WITH_CR)
    return names


def wanted_columns(names: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Return those of the contract's `fields` that a file has, in the order of the file's columns.

    Raises UnreadableFileError when it has none of them, one of them twice, or one under a name that differs by blanks
    or case.
    """
    wanted = [name for name in names if name in fields]
    meant = {name: _plain(name) for name in names if name not in fields and _plain(name) in fields}
    if meant:
        name, field = next(iter(meant.items()))
        raise _refused(names, f"has '{name}' for '{field}'; write small letters, and no blank after a comma")
    if twice := {name for name in wanted if wanted.count(name) > 1}:
        raise _refused(names, f"has the column {min(twice)} twice; deliver it once")
    if not wanted:
        nothing = f"has none of the columns {', '.join(fields)}; deliver a header with them as its first line"
        raise _refused(names, _separated_otherwise(names, fields) or nothing)
    return wanted


def is_header(line: bytes, fields: Sequence[str]) -> bool:
    """Say whether a line is a CSV header with the given fields, whatever character separates its columns."""
    text = line.decode("utf-8", errors="replace").strip()
    return any(set(text.split(separator)) & set(fields) for separator in (",", *SEPARATORS))


def _plain(name: str) -> str:
    """Return a name as it was meant: in lower case, without blanks and quotes around it."""
    printed = "".join(" " if unicodedata.category(letter) in ("Cf", "Zs", "Cc") else letter for letter in name)
    return printed.strip().strip("'\"").strip().lower()


def _separated_otherwise(names: Sequence[str], fields: Sequence[str]) -> str | None:
    for separator, words in SEPARATORS.items():
        if {_plain(part) for name in names for part in name.split(separator)} & set(fields):
            return f"is separated by {words}; separate columns by commas, and decimals by a point"
    return None


def _refused(names: Sequence[str], words: str) -> UnreadableFileError:
    """Show the header; but not a first line with digits, which is a record and may name a cashier."""
    header = ",".join(names)[:LONGEST_QUOTED_HEADER]
    if any(letter.isdigit() for letter in header):
        return UnreadableFileError(f"has a first line with digits, which is not a header: it {words}", header.encode())
    return UnreadableFileError(f"has the header '{header}': it {words}")
