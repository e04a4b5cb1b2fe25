"""photo_coverage: how many transactions have a photo and a usable face, by store, till and hour, and why others do not.

Look at these counts before you trust a share in another table. A transaction counts in the hour in which it was paid, a
photo in the hour in which it was taken.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE
from jobs.settings import Settings
from jobs.warehouse.duckdb_tables import source_tables_in_duckdb
from jobs.warehouse.warehouse import Warehouse

COLUMNS = {
    CHECKOUT_PHOTOS: ("photo_key", "store_id", "till_id", "taken_at"),
    PHOTO_AGE_ESTIMATES: ("photo_key", "estimate_status"),
    TRANSACTION_AGES: (
        "store_id",
        "till_id",
        "closed_at",
        "photo_keys",
        "photo_count",
        "usable_photo_count",
        "estimate_status",
    ),
}

QUERY = """
WITH transactions_by_status AS (
    SELECT store_id, till_id, hour(timezone($time_zone, closed_at))::INT AS hour, estimate_status,
        count(*) AS transaction_count,
        count(*) FILTER (photo_count > 0) AS with_photo_count,
        count(*) FILTER (usable_photo_count > 0) AS with_usable_face_count
    FROM transaction_ages GROUP BY ALL
),
transactions AS (
    SELECT store_id, till_id, hour,
        sum(transaction_count) AS transaction_count,
        sum(with_photo_count) AS with_photo_count,
        sum(with_usable_face_count) AS with_usable_face_count,
        list({'key': estimate_status, 'value': transaction_count} ORDER BY estimate_status)
            FILTER (estimate_status != 'estimated') AS reasons
    FROM transactions_by_status GROUP BY ALL
),
matched AS (
    SELECT unnest(photo_keys) AS photo_key, true AS is_matched FROM transaction_ages
),
photos_by_status AS (
    -- A photo whose key cannot be read counts under unknown names and hour -1.
    SELECT coalesce(store_id, 'unknown') AS store_id, coalesce(till_id, 'unknown') AS till_id,
        coalesce(hour(timezone($time_zone, taken_at)), -1)::INT AS hour, estimate_status,
        count(*) AS photo_count,
        count(*) FILTER (estimate_status = 'estimated') AS usable_photo_count,
        count(is_matched) AS matched_photo_count
    -- Left joins keep every photo. A key is in each table once, and in one transaction only, so none is counted twice.
    FROM checkout_photos
    LEFT JOIN (SELECT photo_key, estimate_status FROM photo_age_estimates) USING (photo_key)
    LEFT JOIN matched USING (photo_key)
    GROUP BY ALL
),
photos AS (
    SELECT store_id, till_id, hour,
        sum(photo_count) AS photo_count,
        sum(usable_photo_count) AS usable_photo_count,
        sum(matched_photo_count) AS matched_photo_count,
        list({'key': estimate_status, 'value': photo_count} ORDER BY estimate_status)
            FILTER (estimate_status != 'estimated') AS unusable_photo_reasons
    FROM photos_by_status GROUP BY ALL
)
SELECT store_id, till_id, hour,
    coalesce(transaction_count, 0) AS transaction_count,
    coalesce(with_photo_count, 0) AS with_photo_count,
    coalesce(with_usable_face_count, 0) AS with_usable_face_count,
    coalesce(photo_count, 0) AS photo_count,
    coalesce(usable_photo_count, 0) AS usable_photo_count,
    coalesce(matched_photo_count, 0) AS matched_photo_count,
    coalesce(photo_count - matched_photo_count, 0) AS unmatched_photo_count,
    map_from_entries(coalesce(reasons, [])) AS reasons,
    map_from_entries(coalesce(unusable_photo_reasons, [])) AS unusable_photo_reasons
-- Full join: an hour may have photos without transactions, or transactions without photos.
FROM transactions FULL JOIN photos USING (store_id, till_id, hour)
"""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    with source_tables_in_duckdb(warehouse.staging, business_date, COLUMNS) as connection:
        coverage = photo_coverage(connection, settings.store_time_zone)
    warehouse.stage_arrow(PHOTO_COVERAGE, business_date, coverage)


def photo_coverage(connection: duckdb.DuckDBPyConnection, store_time_zone: str) -> pa.Table:
    """Count transactions and photos by store, till and hour of the stores' time zone.

    `connection` has the tables of COLUMNS. Every transaction and every photo counts once. A photo whose key cannot be
    read counts under store and till 'unknown' and hour -1, unless the key names them.
    """
    return connection.execute(QUERY, {"time_zone": store_time_zone}).to_arrow_table()
