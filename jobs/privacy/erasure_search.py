"""erasure_search: searches every Parquet file of a warehouse for rows of erased people.

It searches in two ways. By hash: photo and receipt keys in files of the erased day, and case ids in files of all days,
are compared with the hashes of the day's tombstones. By text: in files of all days, all texts, also inside lists and
maps, are searched for the photo keys and case id of the person who is being erased.
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
from jobs.warehouse.parquet_batches import parquet_batches
from jobs.warehouse.warehouse import Warehouse

RECEIPT_FIELDS = frozenset(TRANSACTION_LINES.column_names)
"""Columns with a field of a receipt line, so without photo keys and cases. Skipping them skips most of a warehouse."""
CASE = "case_id"
"""Compared in files of all days, because windows that end on other days hold cases of this day."""
KEY_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Search:
    """The result of a search: how many files and rows were searched, and how many rows were found in each file."""

    file_count: int
    row_count: int
    found: dict[str, int]


def search(warehouse: Warehouse, erased: ErasedPeople, texts: Iterable[str]) -> Search:
    """Search all Parquet files of a warehouse, including staged and rescored tables, for rows of erased people.

    `texts` are photo keys and case ids to search for in any column. A file that is deleted meanwhile is skipped.
    """
    # An empty text would be found in every row.
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
    """Count the rows of a batch that contain an erased key or one of the texts (`needles`)."""
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
    # Most files have no column to search, and are not read at all.
    if not columns:
        return 0
    return sum(found_rows(batch, erased, needles, is_of_day) for batch in parquet_batches(parquet, columns))


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
    """Yield all texts within a nested value."""
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
    # Hashing each different key once: many lines share a transaction.
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
"""Columns that name a person, each with the function that finds the rows of a batch that name an erased one."""


def _is_in(column: pa.Array, values: Iterable[str]) -> np.ndarray:
    return _mask(pc.is_in(column, value_set=pa.array(values, pa.string())))


def _mask(column: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=bool)
