"""landed_parquet: reads one delivered Parquet file as records, with all columns as text."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.landing.landed_header import wanted_columns
from jobs.landing.landed_ids import ID_FIELDS
from jobs.landing.landed_lines import MOST_UNFOLDED_PER_BYTE, UnreadableFileError, most_unfolded_bytes, what_it_is
from jobs.landing.landed_records import BATCH_ROWS, Records
from jobs.warehouse.parquet_batches import parquet_batches

LEAST_PARQUET_ROWS = 1_000_000
"""A Parquet file may have so many rows, or one per byte if that is more."""
MAGIC = b"PAR1"
KINDS_OF_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)
LARGEST_EXACT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}
"""A float cannot hold every whole number above this, so two ids may have become the same."""


def read_parquet(stream: io.BufferedReader, fields: Sequence[str]) -> Iterator[Records]:
    """Yield the records of a Parquet file. Raises UnreadableFileError if it is not Parquet, or too large unzipped."""
    most_bytes = most_unfolded_bytes(stream)
    _refuse_another_kind(stream)
    parquet = pq.ParquetFile(stream)
    groups = [parquet.metadata.row_group(index) for index in range(parquet.metadata.num_row_groups)]
    most_rows = max(LEAST_PARQUET_ROWS, most_bytes // MOST_UNFOLDED_PER_BYTE)
    if sum(group.total_byte_size for group in groups) > most_bytes or parquet.metadata.num_rows > most_rows:
        raise UnreadableFileError(f"unzips to more than {most_bytes} bytes or {most_rows} rows; deliver it in parts")
    wanted = wanted_columns(parquet.schema_arrow.names, fields)
    first_row = 1
    for batch in parquet_batches(parquet, wanted, BATCH_ROWS):
        texts = [_as_text(batch.column(name), is_id=name in ID_FIELDS) for name in wanted]
        yield Records(pa.table(texts, names=wanted), np.arange(first_row, first_row + batch.num_rows))
        first_row += batch.num_rows
    # pyarrow reads fewer rows from some damaged files without an error.
    if first_row - 1 != parquet.metadata.num_rows:
        rows = f"{parquet.metadata.num_rows} rows, but {first_row - 1} are there"
        raise UnreadableFileError(f"is damaged: its end lists {rows}; deliver it again")


def _refuse_another_kind(stream: io.BufferedReader) -> None:
    start = stream.read(200)
    if not start:
        raise UnreadableFileError("is empty; deliver the whole file again")
    if not start.startswith(MAGIC) and not MAGIC.startswith(start):
        kind = what_it_is(start) or "text"
        raise UnreadableFileError(
            f"is {kind} and not Parquet, although its name says so; give it the ending of its format"
        )
    # Parquet ends with its magic bytes, after the directory of its rows.
    stream.seek(max(0, stream.seek(0, io.SEEK_END) - len(MAGIC)))
    if stream.read() != MAGIC or len(start) <= len(MAGIC):
        raise UnreadableFileError("is cut off: its end, which says where its rows are, is missing; deliver it again")
    stream.seek(0)


def _as_text(column: pa.Array, is_id: bool) -> pa.Array:
    """Return a column as text, or as bytes that may be text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_text(column.dictionary_decode(), is_id)
    if isinstance(kind, pa.UuidType) or pa.types.is_nested(kind):
        return pa.array([_json_text(value) for value in column.to_pylist()], pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        return _as_text(column.storage, is_id)
    if any(is_bytes(kind) for is_bytes in KINDS_OF_BYTES):
        return column.cast(pa.binary())
    if is_id and pa.types.is_floating(kind):
        return _float_ids(column)
    if pa.types.is_decimal(kind):
        return pc.replace_substring_regex(_decimals(column), r"\.0*$", "") if is_id else _decimals(column)
    return pc.cast(_in_utc(column), pa.string())


def _in_utc(column: pa.Array) -> pa.Array:
    # Text of a time must not depend on the zone that a writer chose.
    has_other_zone = pa.types.is_timestamp(column.type) and column.type.tz not in (None, "UTC")
    return column.cast(pa.timestamp(column.type.unit, tz="UTC")) if has_other_zone else column


def _decimals(column: pa.Array) -> pa.Array:
    """Write out decimals; pyarrow writes a zero with many places as `0E-18`."""
    texts = pc.cast(column, pa.string())
    if not pc.any(pc.match_substring(texts, "E")).as_py():
        return texts
    return pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())


def _float_ids(column: pa.Array) -> pa.Array:
    """Write out whole numbers; those that a float may have rounded keep the form that `landed_ids` rejects."""
    numbers = column.cast(pa.float64())
    values = np.asarray(numbers.fill_null(np.nan))
    is_whole = np.isfinite(values) & (values == np.trunc(values))
    is_exact = is_whole & (np.abs(values) <= LARGEST_EXACT[column.type])
    texts = np.where(is_exact, np.where(is_exact, values, 0).astype(np.int64).astype(str), "")
    rounded = [f"{value:.15e}" for value in values[is_whole & ~is_exact]]
    written = texts.astype(object)
    written[is_whole & ~is_exact] = rounded
    written[~is_whole] = np.asarray(pc.cast(numbers, pa.string()).fill_null(""), object)[~is_whole]
    return pc.if_else(column.is_valid(), pa.array(written, pa.string()), pa.scalar(None, pa.string()))


def _json_text(value: object) -> str | None:
    return None if value is None else value if isinstance(value, str) else _dumped(value)


def _dumped(value: object) -> str:
    return json.dumps(value, default=str) if isinstance(value, (list, dict)) else str(value)
