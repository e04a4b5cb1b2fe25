"""photo_keys: photo keys ► store, till, time and receipt, and why a key places its photo nowhere in the day.

One function over Arrow batches, called in Spark's tasks by the night and without Spark by check-delivery.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from jobs.landing.business_day import BusinessDay
from jobs.schemas.landed import CHECKOUT_PHOTOS
from jobs.schemas.table import INSTANT, TEXT

ID = r"([^/\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,200})"
"""Printable; a line break or a turn of the writing's direction in an id would deceive who reads it."""
FIELD_PATTERNS = {
    "store_id": ID,
    "till_id": ID,
    "transaction_id": ID,
    "taken_at": r"(\d{8}T\d{6}(?:\.\d{1,6})?Z)",
    "extension": r"((?i:jpg|jpeg|png))",
    "ignored": r"([^/]+)",
}
SHOWN_CHARACTERS = 300
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PLACED = ("store_id", "till_id", "taken_at", "transaction_id", "key_problem", "is_other_date")
PLACED_FIELDS = tuple(CHECKOUT_PHOTOS.schema.field(name).remove_metadata() for name in _PLACED)


def placed_photos(photos: pa.RecordBatch, template: str, day: BusinessDay) -> pa.RecordBatch:
    """Add PLACED_FIELDS to rows with a photo_key, one row for each.

    A key that does not match the template has a `key_problem`; so has one of another date that names no transaction.
    """
    keys = photos["photo_key"]
    texts = key_fields(keys, template)
    taken_at = _instants(texts["taken_at"])
    transaction_ids = texts.get("transaction_id", pa.nulls(len(keys), TEXT))
    is_unreadable = pc.or_(texts["store_id"].is_null(), taken_at.is_null())
    is_other_date = pc.and_(
        pc.and_(pc.invert(is_unreadable), transaction_ids.is_null()), pc.fill_null(_is_outside(taken_at, day), False)
    )
    complaint = pc.if_else(is_unreadable, f"does not match '{template}'", day.other_date)
    shown = pc.utf8_slice_codeunits(keys, 0, SHOWN_CHARACTERS)
    problem = pc.binary_join_element_wise("photo key '", shown, "' ", complaint, "")
    no_problem = pa.scalar(None, TEXT)
    placed = [
        texts["store_id"],
        texts["till_id"],
        taken_at,
        transaction_ids,
        pc.if_else(pc.or_(is_unreadable, is_other_date), problem, no_problem),
        is_other_date,
    ]
    schema = pa.schema([*photos.schema, *PLACED_FIELDS])
    return pa.RecordBatch.from_arrays([*photos.columns, *placed], schema=schema)


def key_fields(photo_keys: pa.Array, template: str) -> dict[str, pa.Array]:
    """Return the text of each field of the template, null where a key does not match it."""
    parts = re.split(r"\{(\w+)\}", template)
    names = parts[1::2]
    groups = (_group(place, name) for place, name in enumerate(names))
    literals = map(re.escape, parts[0::2])
    pattern = "".join(text for pair in zip(literals, [*groups, ""], strict=True) for text in pair)
    found = pc.extract_regex(photo_keys, rf"\A{pattern}\z")
    return {name: pc.struct_field(found, f"group_{place}") for place, name in reversed(list(enumerate(names)))}


def _group(place: int, name: str) -> str:
    return FIELD_PATTERNS[name].replace("(", f"(?P<group_{place}>", 1)


def _instants(texts: pa.Array) -> pa.Array:
    return pa.array([text and _microseconds(text) for text in texts.to_pylist()], pa.int64()).cast(INSTANT)


def _microseconds(text: str) -> int | None:
    try:
        return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)
    except ValueError:
        return None


def _is_outside(taken_at: pa.Array, day: BusinessDay) -> pa.Array:
    begins_at, ends_at = (pa.scalar(moment, INSTANT) for moment in (day.begins_at, day.ends_at))
    return pc.or_(pc.less(taken_at, begins_at), pc.greater_equal(taken_at, ends_at))
