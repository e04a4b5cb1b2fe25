"""cashier_days_query: cashier_alcohol_days in plain SQL, as an oracle of the Spark job and for simulated sales."""

from __future__ import annotations

import duckdb
import pandas as pd
import pyarrow as pa

QUERY = """
WITH facts AS (
    SELECT *, audit_status NOT IN ('sale_refused', 'sale_voided') AS is_sale,
        audit_status = 'sale_refused' OR (is_sale AND id_check = 'shown') IS TRUE AS is_asked,
        (is_sale AND id_check = 'not_asked') IS TRUE AS is_not_asked,
        CASE WHEN is_sale THEN under_legal_age_probability END AS sale_legal,
        CASE WHEN is_sale THEN under_challenge_age_probability END AS sale_challenge,
        CASE WHEN is_not_asked THEN under_legal_age_probability END AS unchecked_legal,
        CASE WHEN is_asked THEN under_challenge_age_probability END AS asked_challenge,
        CASE WHEN is_not_asked THEN under_challenge_age_probability END AS not_asked_challenge,
        hour(timezone($time_zone, closed_at)) AS hour,
        100 * under_challenge_age_probability AS percent,
        CASE WHEN percent >= 85 THEN 85 WHEN percent >= 70 THEN 70 WHEN percent >= 50 THEN 50
            WHEN percent >= 30 THEN 30 WHEN percent >= 15 THEN 15 WHEN percent >= 5 THEN 5
            WHEN percent >= 0 THEN 0 END AS probability_band
    FROM sales
),
strata AS (
    SELECT store_id, cashier_id, till_id, hour::INT AS hour, probability_band::INT AS probability_band,
        count(*) AS case_count, count(*) FILTER (is_asked) AS asked_count,
        sum(under_challenge_age_probability) AS under_challenge_age_count
    FROM facts WHERE (is_asked OR is_not_asked) AND probability_band IS NOT NULL GROUP BY ALL
),
strata_lists AS (
    SELECT store_id, cashier_id, list({
        'till_id': till_id, 'hour': hour, 'probability_band': probability_band, 'case_count': case_count,
        'asked_count': asked_count, 'under_challenge_age_count': under_challenge_age_count
    } ORDER BY till_id, hour, probability_band) AS strata
    FROM strata GROUP BY ALL
),
sums AS (
    SELECT store_id, cashier_id,
        count(*) FILTER (is_sale) AS sale_count,
        count(*) FILTER (audit_status = 'sale_refused') AS refused_count,
        count(*) FILTER (audit_status = 'sale_voided') AS voided_count,
        count(*) FILTER (is_sale AND estimate_status = 'estimated') AS estimated_sale_count,
        count(*) FILTER (is_sale AND id_check IS NULL) AS check_not_logged_count,
        coalesce(sum(sale_legal), 0) AS under_legal_age_count,
        coalesce(sum(sale_legal * (1 - sale_legal)), 0) AS under_legal_age_variance,
        coalesce(sum(sale_challenge), 0) AS under_challenge_age_count,
        coalesce(sum(sale_challenge * (1 - sale_challenge)), 0) AS under_challenge_age_variance,
        coalesce(sum(unchecked_legal), 0) AS under_legal_age_unchecked_count,
        coalesce(sum(unchecked_legal * (1 - unchecked_legal)), 0) AS under_legal_age_unchecked_variance,
        coalesce(sum(asked_challenge), 0) AS asked_count,
        coalesce(sum(asked_challenge * (1 - asked_challenge)), 0) AS asked_variance,
        coalesce(sum(not_asked_challenge), 0) AS not_asked_count,
        coalesce(sum(not_asked_challenge * (1 - not_asked_challenge)), 0) AS not_asked_variance
    FROM facts GROUP BY ALL
)
SELECT * FROM sums LEFT JOIN strata_lists USING (store_id, cashier_id) ORDER BY store_id, cashier_id
"""


def cashier_days_by_query(sales: pa.Table | pd.DataFrame, time_zone: str) -> pa.Table:
    """Return the cashiers' rows of sales that have the columns of alcohol_sale_audit, without model and run."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("sales", sales)
        return connection.execute(QUERY, {"time_zone": time_zone}).to_arrow_table()
