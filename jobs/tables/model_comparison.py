"""model_comparison: what another model version would change in a published day; read it before you switch models.

Photos that were deleted since the live run count as estimate_status `missing`, which is not the model's fault.
mean_age_shift_years covers only photos or buyers that both versions estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from jobs.errors import InputError
from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES
from jobs.schemas.runs import MODEL_COMPARISON
from jobs.warehouse.warehouse import Warehouse

MEASURES = {
    "age_group": TRANSACTION_AGES,
    "audit_status": ALCOHOL_SALE_AUDIT,
    "estimate_status": PHOTO_AGE_ESTIMATES,
}
"""Columns that are compared, each with its table: the table's rows are counted by the values of the column."""

COUNTS = """
WITH pairs AS (
    SELECT live.{measure} AS live_value, rescored.{measure} AS rescored_value,
        rescored.estimated_age_years - live.estimated_age_years AS age_shift_years
    FROM live FULL JOIN rescored USING ({key})
)
SELECT '{measure}' AS measure, live_value AS value, count(*) AS live_count, 0 AS rescored_count,
    count(age_shift_years) AS both_estimated_count, avg(age_shift_years) AS mean_age_shift_years
FROM pairs WHERE live_value IS NOT NULL GROUP BY live_value
UNION ALL
SELECT '{measure}', rescored_value, 0, count(*), 0, NULL
FROM pairs WHERE rescored_value IS NOT NULL GROUP BY rescored_value
"""

SHARES = """
WITH summed AS (
    SELECT measure, value,
        sum(counts.live_count)::BIGINT AS live_count,
        sum(counts.rescored_count)::BIGINT AS rescored_count,
        sum(counts.both_estimated_count)::BIGINT AS both_estimated_count,
        sum(counts.mean_age_shift_years * counts.both_estimated_count)
            / nullif(sum(counts.both_estimated_count), 0) AS mean_age_shift_years
    FROM counts GROUP BY measure, value
)
SELECT *,
    live_count / nullif(sum(live_count) OVER same_measure, 0) AS live_share,
    rescored_count / nullif(sum(rescored_count) OVER same_measure, 0) AS rescored_share,
    rescored_share - live_share AS share_shift
FROM summed WINDOW same_measure AS (PARTITION BY measure) ORDER BY measure, value
"""


@dataclass(frozen=True)
class PublishedDay:
    """A published day to compare. `rows` holds, for each measure, key, value and estimated age of its table's rows."""

    run_id: str
    model_version: str
    rows: Mapping[str, pa.Table]


def run(live: Warehouse, rescored: Warehouse, business_date: date) -> pa.Table:
    comparison = model_comparison(_published_day(live, business_date), _published_day(rescored, business_date))
    # The comparison lies with the rescored tables: the live warehouse is not written to.
    rescored.published.write(MODEL_COMPARISON, business_date, comparison)
    return comparison


def model_comparison(live: PublishedDay, rescored: PublishedDay) -> pa.Table:
    """Count the rows of the live and the rescored day by the values of each measure, and compare ages of equal keys."""
    counts = pa.concat_tables(_counts(measure, live.rows[measure], rescored.rows[measure]) for measure in MEASURES)
    origin = {
        "live_run_id": live.run_id,
        "live_model_version": live.model_version,
        "rescored_model_version": rescored.model_version,
        "run_id": rescored.run_id,
    }
    comparison = _with_shares(counts)
    for name, text in origin.items():
        comparison = comparison.append_column(name, pa.repeat(pa.scalar(text, pa.string()), comparison.num_rows))
    return comparison.select(MODEL_COMPARISON.column_names)


def summed_over_days(comparisons: list[pa.Table]) -> pa.Table:
    """Add up the comparisons of several days, by measure and value, without the columns of runs and models."""
    return _with_shares(pa.concat_tables(comparisons))


def lost_photo_count(comparison: pa.Table) -> int:
    """Return how many more photos are missing in the rescored tables than in the live tables."""
    is_lost = {"measure": "estimate_status", "value": "missing"}.items()
    # `<=` says whether the row has both values: items of dicts compare as sets.
    return sum(row["rescored_count"] - row["live_count"] for row in comparison.to_pylist() if is_lost <= row.items())


def _counts(measure: str, live: pa.Table, rescored: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("live", live).register("rescored", rescored)
        return connection.sql(COUNTS.format(measure=measure, key=", ".join(MEASURES[measure].key))).to_arrow_table()


def _with_shares(counts: pa.Table) -> pa.Table:
    with duckdb.connect() as connection:
        connection.register("counts", counts)
        return connection.sql(SHARES).to_arrow_table()


def _published_day(warehouse: Warehouse, business_date: date) -> PublishedDay:
    run = warehouse.runs.published(business_date)
    if run is None:
        raise InputError(f"business date {business_date} is not published in '{warehouse.store.uri}'")
    rows = {measure: _published_rows(warehouse, measure, business_date) for measure in MEASURES}
    return PublishedDay(run["run_id"], run["model_version"], rows)


def _published_rows(warehouse: Warehouse, measure: str, business_date: date) -> pa.Table:
    table = MEASURES[measure]
    rows = warehouse.published.read_arrow(table, business_date, [*table.key, measure, "estimated_age_years"])
    if rows is None:
        raise InputError(f"table '{table.name}' of {business_date} is not published in '{warehouse.store.uri}'")
    return rows
