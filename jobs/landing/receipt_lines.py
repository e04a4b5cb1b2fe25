"""receipt_lines: applies the landing contract to single receipt lines: parses their text fields, or says what is wrong.

The function works on Arrow batches. The night calls it in Spark tasks and check-delivery calls it without Spark, so
both judge a line in the same way. `receipt_comparison` compares lines with each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from jobs.landing.business_day import BusinessDay
from jobs.landing.landed_files import RECEIPT_FIELDS
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.table import AMOUNT, INSTANT, QUANTITY, TEXT

LINE_TYPES = ("sale", "return", "void")
GIVEN_BACK = ("return", "void")
ID_CHECKS = ("shown", "refused_sale", "not_asked")
OPTIONAL = ("opened_at", "id_check")
REQUIRED = tuple(name for name in RECEIPT_FIELDS if name not in OPTIONAL)
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
INSTANT_TEXT = re.compile(r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d", re.ASCII)
IN_UTC = re.compile(r" ?(UTC|GMT|Z)$")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN_CHARACTERS = 60
SEPARATOR = "; "
UNPARSED_RECORD, UNREAD_FILE = "the record cannot be split into fields", "the file cannot be read whole"

_TYPED = TRANSACTION_LINES.schema_without("run_id")
JUDGED_LINE_SCHEMA = pa.schema(
    [
        pa.field("source_file", TEXT),
        pa.field("line_in_file", pa.int64()),
        *_TYPED.remove_metadata(),
        pa.field("rejection_reason", TEXT),
        pa.field("rejection_kind", TEXT),
        pa.field("is_other_date", pa.bool_()),
        pa.field("unparsed_line", TEXT),
        pa.field("landed", pa.struct([(name, TEXT) for name in RECEIPT_FIELDS])),
    ]
)
"""A judged line: its place, its typed fields, what is wrong with it, and its text as delivered.

`rejection_kind` is `rejection_reason` without the values of the line, so that lines can be counted by it.
"""


@dataclass(frozen=True)
class Rule:
    """A rule of the contract for one field, and whether each line breaks it (null counts as not broken).

    The reason for a rejection is the field's name followed by `complaint`. With `shows_value`, the field's text is
    between them.
    """

    field: str
    complaint: str
    is_broken: pa.Array
    shows_value: bool = True
    is_other_date: bool = False


def judged_receipt_lines(landed_lines: pa.RecordBatch, day: BusinessDay) -> pa.RecordBatch:
    """Parse the text fields of a day's delivered receipt lines, and judge each line by the landing contract.

    Returns a row of JUDGED_LINE_SCHEMA for each line.

    `landed_lines` are rows as `landed_files.LANDED_LINE_SCHEMA`. A line without `rejection_reason` meets the contract.
    """
    texts = {name: _filled(landed_lines[name]) for name in RECEIPT_FIELDS}
    typed = {field.name: _typed(texts[field.name], field.type) for field in _TYPED}
    # Most batches break few rules, and words are made only for those that are broken.
    rules = [rule for rule in _rules(texts, typed, day) if pc.any(rule.is_broken).as_py()]
    problems, rows = landed_lines["parse_problem"], landed_lines.num_rows
    kinds = [_said(rule, None) for rule in rules]
    reasons = [_said(rule, texts[rule.field] if rule.shows_value else None) for rule in rules]
    columns = {
        "source_file": landed_lines["source_file"],
        "line_in_file": landed_lines["line_in_file"],
        **typed,
        # A line that could not be parsed breaks every rule of missing fields; only the real reason is shown.
        "rejection_reason": pc.coalesce(problems, _joined(reasons, rows)),
        "rejection_kind": pc.coalesce(_problem_kinds(landed_lines), _joined(kinds, rows)),
        "is_other_date": _any_broken([rule for rule in rules if rule.is_other_date], rows),
        "unparsed_line": landed_lines["unparsed_line"],
        "landed": pa.StructArray.from_arrays([texts[name] for name in RECEIPT_FIELDS], RECEIPT_FIELDS),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in JUDGED_LINE_SCHEMA.names], schema=JUDGED_LINE_SCHEMA)


def _filled(texts: pa.Array) -> pa.Array:
    """Return text without surrounding blanks; blank text counts as missing."""
    trimmed = pc.utf8_trim(texts, characters=" ")
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def _typed(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read texts as a type, each different text once; null where a text cannot be read."""
    if kind == TEXT:
        return texts
    encoded = texts.dictionary_encode()
    return _READERS[kind](encoded.dictionary).take(encoded.indices)


def _instants(texts: pa.Array) -> pa.Array:
    return pa.array([_microseconds(text) for text in texts.to_pylist()], pa.int64()).cast(INSTANT)


def _microseconds(text: str) -> int | None:
    """Read a time as microseconds since 1970, in UTC where it names no zone."""
    if not INSTANT_TEXT.match(text):
        return None
    try:
        moment = datetime.fromisoformat(IN_UTC.sub("+00:00", text))
    except ValueError:
        return None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def _line_numbers(texts: pa.Array) -> pa.Array:
    # The pattern keeps the cast from failing the whole batch for one bad text.
    numbers = _where(pc.match_substring_regex(texts, r"^[+-]?\d{1,10}$"), texts)
    numbers = pc.utf8_ltrim(numbers, characters="+").cast(pa.int64())
    # Ten digits may exceed 32 bits.
    return _where(pc.less(pc.abs(numbers), 1 << 31), numbers).cast(pa.int32())


def _decimals(kind: pa.Decimal128Type) -> Callable[[pa.Array], pa.Array]:
    """Return a function that reads decimals which are written out and lose nothing at the type's scale."""
    whole, scale = kind.precision - kind.scale, kind.scale
    written_out = rf"^[+-]?\d{{1,{whole}}}(\.\d{{0,{scale}}}0*)?$"

    def read(texts: pa.Array) -> pa.Array:
        numbers = _where(pc.match_substring_regex(texts, written_out), texts)
        cut = pc.replace_substring_regex(numbers, rf"^\+?(-?\d+)(\.\d{{0,{scale}}})?0*$", r"\1\2")
        return pc.utf8_rtrim(cut, characters=".").cast(kind)

    return read


def _booleans(texts: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(texts)
    is_true, is_false = (pc.is_in(lower, pa.array(words)) for words in (TRUE, FALSE))
    return _where(pc.or_(is_true, is_false), is_true)


_READERS: dict[pa.DataType, Callable[[pa.Array], pa.Array]] = {
    INSTANT: _instants,
    pa.int32(): _line_numbers,
    QUANTITY: _decimals(QUANTITY),
    AMOUNT: _decimals(AMOUNT),
    pa.bool_(): _booleans,
}
_READABLE = {
    "opened_at": "a time such as 2026-11-20T18:30:15Z",
    "closed_at": "a time such as 2026-11-20T18:30:15Z",
    "line_number": "a whole number",
    "quantity": f"a decimal with at most {QUANTITY.scale} places",
    "net_amount": f"a decimal with at most {AMOUNT.scale} places",
    "is_alcohol": "true or false",
}


def _rules(texts: dict[str, pa.Array], typed: dict[str, pa.Array], day: BusinessDay) -> Iterator[Rule]:
    opened_at, closed_at = typed["opened_at"], typed["closed_at"]
    for name in REQUIRED:
        yield Rule(name, "is missing", texts[name].is_null(), shows_value=False)
    for name, kind in _READABLE.items():
        yield Rule(name, f"is not {kind}", pc.and_(texts[name].is_valid(), typed[name].is_null()))
    for name, allowed in (("line_type", LINE_TYPES), ("id_check", ID_CHECKS)):
        is_strange = pc.and_(texts[name].is_valid(), pc.invert(pc.is_in(texts[name], pa.array(allowed))))
        yield Rule(name, f"is none of {', '.join(allowed)}", is_strange)
    yield Rule("line_number", "is under 1", pc.less(typed["line_number"], 1), shows_value=False)
    yield Rule("opened_at", "is after closed_at", pc.greater(opened_at, closed_at), shows_value=False)
    begins_at, ends_at = (pa.scalar(moment, INSTANT) for moment in (day.begins_at, day.ends_at))
    yield Rule("opened_at", day.other_date, pc.less(opened_at, begins_at), is_other_date=True)
    is_outside = pc.or_(pc.less(closed_at, begins_at), pc.greater_equal(closed_at, ends_at))
    yield Rule("closed_at", day.other_date, is_outside, is_other_date=True)
    yield Rule(
        "net_amount", "of a return or void is above 0, and so is its quantity: give both a minus sign", _unsigned(typed)
    )


def _unsigned(typed: dict[str, pa.Array]) -> pa.Array:
    """Find returns and voids that look like sales. If only one figure is over 0, it may be a voided discount."""
    is_given_back = pc.is_in(typed["line_type"], pa.array(GIVEN_BACK))
    is_over_zero = [pc.greater(typed[name], pa.scalar(0, typed[name].type)) for name in ("quantity", "net_amount")]
    return pc.and_(is_given_back, pc.and_(*is_over_zero))


def _said(rule: Rule, values: pa.Array | None) -> pa.Array:
    """Say what is wrong with each line that breaks a rule; null for other lines."""
    words = pa.scalar(f"{rule.field} {rule.complaint}")
    if values is not None:
        shown = pc.utf8_slice_codeunits(values, 0, SHOWN_CHARACTERS)
        words = pc.binary_join_element_wise(f"{rule.field} '", shown, f"' {rule.complaint}", "")
    return _where(rule.is_broken, words)


def _problem_kinds(landed_lines: pa.RecordBatch) -> pa.Array:
    kinds = pc.if_else(pc.equal(landed_lines["line_in_file"], 0), UNREAD_FILE, UNPARSED_RECORD)
    return _where(landed_lines["parse_problem"].is_valid(), kinds)


def _joined(sentences: list[pa.Array], rows: int) -> pa.Array:
    """Join the sentences about each line; null where there is none."""
    # The empty text in front is needed: pyarrow leaves out rows in which all texts are null.
    joined = pc.binary_join_element_wise(pa.repeat("", rows), *sentences, SEPARATOR, null_handling="skip")
    return _where(pc.not_equal(joined, ""), pc.utf8_slice_codeunits(joined, len(SEPARATOR)))


def _any_broken(rules: list[Rule], rows: int) -> pa.Array:
    is_any = pa.repeat(False, rows)
    for rule in rules:
        is_any = pc.or_(is_any, pc.fill_null(rule.is_broken, False))
    return is_any


def _where(is_wanted: pa.Array, values: pa.Array | pa.Scalar) -> pa.Array:
    return pc.if_else(is_wanted, values, pa.scalar(None, values.type))
