"""erasure_search: looks through every Parquet file of a warehouse for rows of people who are erased.

It looks twice over. In files of the day of an erasure, and cases in those of all days, keys are held against the hashes
of its tombstones; in files of all days any text, also inside lists and maps, is searched for what is known in clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.landing.tombstones import KEY, ErasedPeople
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.warehouse.warehouse import Warehouse

RECEIPT_FIELDS = frozenset(TRANSACTION_LINES.column_names)
"""Columns that hold a field of a receipt line, so neither a photo key nor a case; they are most of a warehouse."""
CASE = "case_id"
"""Windows, which end on other days, hold cases of the day."""
KEY_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Search:
    """What a search found: how many files and rows it looked at, and the rows found by file."""

    file_count: int
    row_count: int
    found: dict[str, int]


def search(warehouse: Warehouse, erased: ErasedPeople, texts: Iterable[str]) -> Search:
    """Look through all files, staged and rescored ones among them; a file that goes meanwhile is passed over."""
    needles = tuple(filter(None, texts))
    row_counts: dict[str, int] = {}
    found: dict[str, int] = {}
    for key in warehouse.parquet_files():
        try:
            with warehouse.parquet_file(key) as parquet:
                row_counts[key] = parquet.metadata.num_rows
                found[key] = _found_in_file(parquet, erased, needles, _date_of(key) == erased.business_date)
        except FileNotFoundError:
            continue
    return Search(len(row_counts), sum(row_counts.values()), {key: count for key, count in found.items() if count})


def found_rows(rows: pa.RecordBatch, erased: ErasedPeople, needles: tuple[str, ...], is_of_day: bool) -> int:
    """Count the rows of a batch that hold an erased key or one of the texts."""
    is_found = np.zeros(rows.num_rows, dtype=bool)
    for name in rows.schema.names:
        if _may_hold_text(rows.schema.field(name)):
            is_found |= _holds_any(rows.column(name), needles)
        if name in OF_KEY and (is_of_day or name == CASE):
            is_found |= OF_KEY[name](rows, erased)
    return int(is_found.sum())


def _found_in_file(parquet: pq.ParquetFile, erased: ErasedPeople, needles: tuple[str, ...], is_of_day: bool) -> int:
    schema = parquet.schema_arrow
    of_key = {*OF_KEY, *KEY} if is_of_day else {CASE}
    columns = [name for name in schema.names if name in of_key or (needles and _may_hold_text(schema.field(name)))]
    if not columns:
        return 0
    return sum(found_rows(batch, erased, needles, is_of_day) for batch in parquet.iter_batches(columns=columns))


def _date_of(key: str) -> date | None:
    found = re.search(r"business_date=(\d{4}-\d\d-\d\d)/", key)
    return date.fromisoformat(found[1]) if found else None


def _may_hold_text(field: pa.Field) -> bool:
    return field.name not in RECEIPT_FIELDS and bool(re.search(r"\bstring\b", str(field.type)))


def _holds_any(column: pa.Array, needles: tuple[str, ...]) -> np.ndarray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        is_found = np.zeros(len(column), dtype=bool)
        for needle in needles:
            is_found |= _mask(pc.match_substring(column, needle))
        return is_found
    return np.array(
        [any(needle in text for text in _texts(row) for needle in needles) for row in column.to_pylist()], bool
    )


def _texts(value: object) -> Iterator[str]:
    """Yield all texts of a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _of_erased_transaction(rows: pa.RecordBatch, erased: ErasedPeople) -> np.ndarray:
    if not set(KEY) <= set(rows.schema.names):
        return np.zeros(rows.num_rows, dtype=bool)
    columns = [pc.fill_null(rows.column(name), "") for name in KEY]
    joined = pc.binary_join_element_wise(*columns, KEY_SEPARATOR)
    keys = (key for key in pc.unique(joined).to_pylist() if erased.has_transaction(*key.split(KEY_SEPARATOR, 2)))
    return _is_in(joined, keys)


def _of_erased_photo(rows: pa.RecordBatch, erased: ErasedPeople) -> np.ndarray:
    keys = rows.column("photo_key")
    return _is_in(keys, filter(erased.has_photo, filter(None, pc.unique(keys).to_pylist())))


def _with_erased_photo(rows: pa.RecordBatch, erased: ErasedPeople) -> np.ndarray:
    return np.array([any(map(erased.has_photo, keys or ())) for keys in rows.column("photo_keys").to_pylist()], bool)


def _of_erased_case(rows: pa.RecordBatch, erased: ErasedPeople) -> np.ndarray:
    cases = rows.column("case_id")
    return _is_in(cases, filter(erased.has_case, filter(None, pc.unique(cases).to_pylist())))


def _of_erased_line(rows: pa.RecordBatch, erased: ErasedPeople) -> np.ndarray:
    return np.array([erased.has_landed_line(line or "") for line in rows.column("landed_line").to_pylist()], bool)


OF_KEY = {
    "transaction_id": _of_erased_transaction,
    "photo_key": _of_erased_photo,
    "photo_keys": _with_erased_photo,
    CASE: _of_erased_case,
    "landed_line": _of_erased_line,
}
"""Columns that name a person, and which rows of a batch name an erased one in them."""


def _is_in(column: pa.Array, values: Iterable[str]) -> np.ndarray:
    return _mask(pc.is_in(column, value_set=pa.array(values, pa.string())))


def _mask(column: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=bool)
