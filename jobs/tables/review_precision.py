"""review_precision: how many of the listed cases reviewers found under age, and whether so many were expected.

Only cases count that a reviewer judged as under_age or of_age. The precision is the share judged under_age. Each case
has a probability, P(under the legal age). If these probabilities are calibrated, the number of cases judged under_age
is near their sum, also within each band of probability, such as 0.3-0.4. The p-value says how near, by the exact
distribution of a sum of events with different probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
from scipy import stats

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, REVIEW_PRECISION, REVIEWED_CASES
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

CASE_COLUMNS = ["case_id", "under_legal_age_probability", "model_version", "run_id"]
OUTCOME_COLUMNS = ["case_business_date", "case_id", "reviewer_outcome", "outcome_status"]
INTERVAL = 0.90

COUNTS = """
WITH cases AS (
    SELECT listed.*, reviewer_outcome, reviewer_outcome IN ('under_age', 'of_age') AS is_judged,
        least(floor(10 * under_legal_age_probability), 9)::INT AS tenth
    FROM listed LEFT JOIN (FROM reviewed WHERE outcome_status = 'counted') USING (case_business_date, case_id)
)
SELECT model_version,
    CASE WHEN grouping(tenth) = 1 THEN 'all' ELSE format('{:.1f}-{:.1f}', tenth / 10, (tenth + 1) / 10) END
        AS probability_band,
    count(*) AS listed_case_count,
    count(reviewer_outcome) AS reviewed_case_count,
    count(*) FILTER (reviewer_outcome = 'cannot_tell') AS cannot_tell_case_count,
    count(*) FILTER (reviewer_outcome = 'wrong_photo') AS wrong_photo_case_count,
    count(*) FILTER (is_judged) AS judged_case_count,
    count(*) FILTER (reviewer_outcome = 'under_age') AS under_age_case_count,
    coalesce(list(under_legal_age_probability ORDER BY case_id) FILTER (is_judged), []) AS judged_probabilities,
    list_sort(list(DISTINCT run_id)) AS run_ids
FROM cases GROUP BY GROUPING SETS ((model_version), (model_version, tenth))
"""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    days = settings.window(business_date)
    review_cases = warehouse.published.read_days(ALCOHOL_REVIEW_CASES, days, CASE_COLUMNS)
    reviewed_cases = warehouse.staging.read_arrow(REVIEWED_CASES, business_date, OUTCOME_COLUMNS)
    warehouse.stage_arrow(REVIEW_PRECISION, business_date, review_precision(review_cases, reviewed_cases, days[0]))


def review_precision(
    review_cases: Mapping[date, pa.Table], reviewed_cases: pa.Table, window_first_date: date
) -> pa.Table:
    """Measure the precision of lists: a row per model version and band of probability, and one for all bands.

    `review_cases` holds the published lists by business date, `reviewed_cases` the reviewers' outcomes for them.
    """
    schema = REVIEW_PRECISION.schema_without("run_id")
    # Without published lists there is no table to concatenate.
    if not review_cases:
        return schema.empty_table()
    listed = pa.concat_tables(
        cases.append_column("case_business_date", pa.repeat(pa.scalar(day), cases.num_rows))
        for day, cases in review_cases.items()
    )
    with duckdb.connect() as connection:
        connection.register("listed", listed)
        connection.register("reviewed", reviewed_cases)
        counts = connection.sql(COUNTS).to_arrow_table().to_pylist()
    return pa.Table.from_pylist([_with_precision(row, window_first_date) for row in counts], schema)


def precision_interval(under_age_count: int, judged_count: int) -> tuple[float, float]:
    """Return both ends of the 90 % Jeffreys interval of the share under age.

    The low end is 0 if none is under age, the high end 1 if all are.
    Source: Brown, Cai & DasGupta 2001, "Interval estimation for a binomial proportion".
    """
    tail = (1 - INTERVAL) / 2
    # Jeffreys' prior adds half a case to either side.
    posterior = stats.beta(under_age_count + 0.5, judged_count - under_age_count + 0.5)
    low = float(posterior.ppf(tail)) if under_age_count else 0.0
    high = float(posterior.isf(tail)) if under_age_count < judged_count else 1.0
    return low, high


def calibration_p_value(under_age_count: int, probabilities: Sequence[float]) -> float:
    """Return the two-sided p-value of a number of cases under age, if each case is so with its own probability."""
    expected = stats.poisson_binom(probabilities)
    # Both tails include the count itself, so twice the smaller one may be over 1.
    one_sided = min(expected.cdf(under_age_count), expected.sf(under_age_count - 1))
    return min(1.0, 2 * float(one_sided))


def _with_precision(row: dict[str, Any], window_first_date: date) -> dict[str, Any]:
    judged, under_age = row["judged_case_count"], row["under_age_case_count"]
    probabilities = row.pop("judged_probabilities")
    described = row | {"window_first_date": window_first_date, "expected_under_age_case_count": sum(probabilities)}
    if not judged:
        reason = f"none of {row['listed_case_count']} listed cases has been judged under_age or of_age"
        return described | {"precision_reason": reason}
    low, high = precision_interval(under_age, judged)
    return described | {
        "precision": under_age / judged,
        "precision_low": low,
        "precision_high": high,
        "expected_precision": sum(probabilities) / judged,
        "calibration_p_value": calibration_p_value(under_age, probabilities),
    }
