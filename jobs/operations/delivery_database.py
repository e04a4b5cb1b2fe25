"""delivery_database: loads a day's delivery into DuckDB tables for check-delivery, judged by the night's own rules.

It has the tables that the rules on deliveries read: transaction_lines, rejected_transaction_lines, checkout_photos,
transaction_ages (which receipts have a photo, without ages) and receipt_files. Lines are streamed into a file in a
temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from jobs.ages.photo_matching import OpenReceipts
from jobs.landing.photo_keys import PLACED_FIELDS
from jobs.landing.receipt_comparison import LONGEST_SPAN_SECONDS, compared_lines
from jobs.landing.receipt_lines import JUDGED_LINE_SCHEMA
from jobs.schemas.table import TEXT
from jobs.warehouse.duckdb_tables import duckdb_on_disk


def _without_zones(schema: pa.Schema) -> pa.Schema:
    """Return a schema with times without a zone, so that DuckDB writes them out as Spark does."""
    naive = pa.timestamp("us")
    return pa.schema([field.with_type(naive) if pa.types.is_timestamp(field.type) else field for field in schema])


JUDGED_IN_DUCKDB = _without_zones(JUDGED_LINE_SCHEMA)
PHOTOS_IN_DUCKDB = _without_zones(pa.schema([("photo_key", TEXT), *PLACED_FIELDS]))
HELD_PHOTOS = pa.schema([("photo_key", TEXT), ("transaction_id", TEXT)])
_OWN_REASONS = ("rejection_reason", "rejection_kind")
_LINE_COLUMNS = [name for name in JUDGED_LINE_SCHEMA.names if name not in _OWN_REASONS]

LINES = f"""
CREATE TABLE compared_lines AS {compared_lines(_LINE_COLUMNS).format(judged_lines="judged_lines")};
CREATE VIEW transaction_lines AS FROM compared_lines WHERE is_kept;
CREATE VIEW rejected_transaction_lines AS
    SELECT *, coalesce(unparsed_line, to_json(landed)::VARCHAR) AS landed_line FROM compared_lines WHERE NOT is_kept;
"""

RECEIPTS = f"""
CREATE TABLE receipts AS
WITH spans AS (
    SELECT store_id, till_id, transaction_id, min(opened_at) AS logged, max(closed_at) AS closed_at
    FROM transaction_lines GROUP BY ALL
)
SELECT store_id, till_id, transaction_id, closed_at, coalesce(skew, 0.0) AS till_clock_skew_seconds,
    greatest(
        coalesce(logged, closed_at - to_seconds($span)), closed_at - to_seconds({LONGEST_SPAN_SECONDS})) AS opened_at
FROM spans LEFT JOIN till_skews ON till = store_id || '/' || till_id
"""

EVENTS = """
SELECT store_id, till_id, epoch_us(opened_at) - skew AS moment, epoch_us(closed_at) - skew AS closes,
    transaction_id AS name
FROM (SELECT *, round(1000000 * till_clock_skew_seconds)::BIGINT AS skew FROM receipts)
UNION ALL
SELECT store_id, till_id, epoch_us(taken_at), NULL, photo_key FROM checkout_photos
WHERE key_problem IS NULL AND transaction_id IS NULL
ORDER BY store_id, till_id, moment, closes NULLS LAST
"""

TRANSACTION_AGES = """
CREATE TABLE transaction_ages AS
WITH matched AS (
    SELECT store_id, till_id, coalesce(held.transaction_id, photos.transaction_id) AS transaction_id,
        max(taken_at) AS taken_at
    FROM checkout_photos AS photos LEFT JOIN held_photos AS held USING (photo_key)
    WHERE key_problem IS NULL GROUP BY ALL
)
SELECT receipts.*, epoch(closed_at) - till_clock_skew_seconds - epoch(taken_at) AS photo_offset_seconds
FROM receipts LEFT JOIN matched USING (store_id, till_id, transaction_id)
"""


@contextmanager
def delivery_database(
    judged: Iterable[pa.RecordBatch],
    photos: Iterable[pa.RecordBatch],
    receipt_files: pa.Table,
    skew_seconds_by_till: Mapping[str, float],
    span_seconds: int,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database of judged lines (rows as JUDGED_LINE_SCHEMA) and of photos placed by their keys."""
    with duckdb_on_disk() as connection:
        _load(connection, "judged_lines", JUDGED_IN_DUCKDB, judged)
        _load(connection, "checkout_photos", PHOTOS_IN_DUCKDB, photos)
        connection.register("receipt_files", receipt_files)
        connection.register(
            "till_skews",
            pa.table(
                [pa.array(skew_seconds_by_till, TEXT), pa.array(skew_seconds_by_till.values(), pa.float64())],
                ["till", "skew"],
            ),
        )
        connection.execute(LINES)
        connection.execute(RECEIPTS, {"span": span_seconds})
        connection.register("held_photos", _held_photos(connection))
        connection.execute(TRANSACTION_AGES)
        yield connection


def in_duckdb(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns of a schema, and with times without a time zone, as DuckDB needs them here."""
    return batch.select(schema.names).cast(schema)


def _load(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> None:
    rows = pa.RecordBatchReader.from_batches(schema, (in_duckdb(batch, schema) for batch in batches))
    connection.register("loaded_rows", rows)
    # Copied into the database file: the stream of batches can be read only once.
    connection.execute(f"CREATE TABLE {name} AS FROM loaded_rows")
    connection.unregister("loaded_rows")


def _held_photos(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the receipt that each photo belongs to, by the night's matching, as HELD_PHOTOS."""
    events = connection.execute(EVENTS).to_arrow_table()
    rows = zip(*(column.to_pylist() for column in events.columns), strict=True)
    holders = pa.array(OpenReceipts().holders(rows), TEXT)
    held = pa.table([events["name"], holders], HELD_PHOTOS.names)
    return held.filter(holders.is_valid()).cast(HELD_PHOTOS)
