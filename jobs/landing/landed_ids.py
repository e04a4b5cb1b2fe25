"""landed_ids: repairs ids that were stored as numbers (`42.0` becomes 42), and finds those that lost digits.

Rows are joined, counted and erased by the ids of stores, tills, receipts, cashiers and articles. So an id must have one
form in all files and formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ID_FIELDS = ("transaction_id", "store_id", "till_id", "cashier_id", "sku", "case_id")
WHOLE_NUMBER = r"^ *(-?(?:0|[1-9][0-9]*))\.0* *$"
"""An id that was stored as a number. An id with leading zeros never was a number."""
WHOLE_NUMBER_IN_TEXT = r"(?<![\w.-])(0|[1-9][0-9]*)\.0*(?![\w.])"
"""The same inside a text. Python and Java must both read this expression, so it uses nothing that only one of them
knows.
"""
SCIENTIFIC = r"^ *-?[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{1,3} *$"
"""The plus sign tells a rounded number from ids such as 7e12; spreadsheets always write the sign."""
MISSING_NUMBER = r"^ *(?:nan|NaN|[+-]?(?:inf|Infinity)|#N/A|#REF!|#NUM!|#VALUE!|#NAME\?) *$"
"""Texts that programs write for a missing number, and spreadsheets for one that they cannot show."""
CONTROL = r"[\x00-\x1f\x7f]"
"""Tabs and other characters that no page shows: two ids would look the same and not be joined. A sku may have them,
because no join is by sku.
"""
MARKS = (b".", b"+", b"#", b"\x7f")
WORD_MARKS = (b"nan", b"NaN", b"inf", b"Inf")
"""Every id that is changed or rejected here contains a mark or a control character. Words are slower to search for."""
MOST_EXACT_DIGITS = str(2**53)


def may_hold_numbers(name: str, column: pa.Array) -> bool:
    """Say whether a column may have ids to repair or reject: whether a point, sign or control character occurs in it.

    It looks at the bytes of all rows at once, which is a hundred times faster than looking at each row.
    """
    if name not in ID_FIELDS or pa.types.is_null(column.type) or not column.buffers()[2]:
        return False
    content = column.buffers()[2].to_pybytes()
    if any(mark in content for mark in MARKS) or (np.frombuffer(content, np.uint8) < ord(" ")).any():
        return True
    # The single letters are a quick test: most columns of ids contain neither.
    return (b"n" in content or b"N" in content) and any(mark in content for mark in WORD_MARKS)


def lost_ids(name: str, column: pa.Array) -> Iterator[tuple[int, str]]:
    """Yield row number and reason for each id that lost digits because it was stored as a number."""
    for row in _rows(pc.match_substring_regex(column, SCIENTIFIC)):
        yield row, f"{_shown(name, column, row)} is a rounded number; deliver ids as text, with all their digits"
    for row in _rows(pc.match_substring_regex(column, MISSING_NUMBER)):
        yield row, f"{_shown(name, column, row)} is a missing number, not an id; deliver ids as text"
    for row in _rows(pc.match_substring_regex(column, CONTROL)) if name != "sku" else ():
        yield row, f"{name} has a tab or another control character; deliver ids without it"
    whole = pc.match_substring_regex(column, WHOLE_NUMBER)
    # Only texts longer than that of 2^53 can hold a larger number; (length, digits) then compares without parsing.
    for row in _rows(pc.and_(whole, pc.greater(pc.binary_length(column), len(MOST_EXACT_DIGITS)))):
        digits = _text(column, row).strip().lstrip("-").partition(".")[0]
        if (len(digits), digits) > (len(MOST_EXACT_DIGITS), MOST_EXACT_DIGITS):
            yield row, f"{_shown(name, column, row)} has more digits than a number keeps; deliver ids as text"


def number_as_id(number: float) -> str:
    """Write a number as an id, 42.0 as 42. A number that may be rounded keeps a form that `lost_ids` rejects."""
    if number.is_integer() and abs(number) <= 2**53:
        return str(int(number))
    return str(number) if abs(number) <= 2**53 else f"{number:.15e}"


def restored_ids(texts: pa.Array) -> pa.Array:
    """Return a column of ids without the `.0` that ids get when they are stored as numbers."""
    return pc.replace_substring_regex(texts, WHOLE_NUMBER, r"\1")


def restored_id(text: str) -> str:
    """Return one id without the `.0` that it gets when it is stored as a number."""
    return re.sub(WHOLE_NUMBER, r"\1", text)


def _rows(flags: pa.Array) -> list[int]:
    rows: list[int] = pc.indices_nonzero(flags.fill_null(False)).to_pylist()
    return rows


def _shown(name: str, column: pa.Array, row: int) -> str:
    """Name the field and its value, but a cashier by the field alone."""
    return name if name == "cashier_id" else f"{name} '{_text(column, row)[:60]}'"


def _text(column: pa.Array, row: int) -> str:
    content: bytes = column[row].as_buffer().to_pybytes()
    return content.decode(errors="replace")
