"""photo_keys: reads store, till, time and receipt from photo keys, and says why a key cannot be used for the day.

The functions work on Arrow batches: the night calls them in Spark tasks, check-delivery calls them without Spark.
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
"""Printable characters only: a line break or a change of writing direction in an id would deceive its reader."""
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
    """Add PLACED_FIELDS, which are read from the key of each photo: store, till, time, transaction and problem.

    A key that does not match the template has a `key_problem`. So has a key of another date that names no transaction.
    """
    keys = photos["photo_key"]
    texts = key_fields(keys, template)
    # A matching key may still name an impossible time, such as month 13: its instant is null.
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
    """Return the fields of the template as text columns, such as store_id; null for keys that do not match it."""
    parts = re.split(r"\{(\w+)\}", template)
    names = parts[1::2]
    # Numbered groups: a template may hold `ignored` more than once, and group names must be unique.
    groups = (_group(place, name) for place, name in enumerate(names))
    literals = map(re.escape, parts[0::2])
    pattern = "".join(text for pair in zip(literals, [*groups, ""], strict=True) for text in pair)
    found = pc.extract_regex(photo_keys, rf"\A{pattern}\z")
    # Reversed, so that the first of several fields of the same name is kept.
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
