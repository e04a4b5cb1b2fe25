"""window_rules: the rules of check_window. Each is a sentence that is true of a healthy window, and a DuckDB query.

A query finds what violates its sentence. It reads the staged tables of the window by their names and, as `days`, the
published rows of cashier_alcohol_days that the window was made from.
"""

from __future__ import annotations

from jobs.landing.cashier_pseudonyms import PSEUDONYM
from jobs.schemas.dictionary import WINDOW_TABLES
from jobs.steps.rules.rule import Rule

RULES = (
    Rule(
        "a key is there once",
        "fail",
        " UNION ALL ".join(
            f"""SELECT format('{table.name}: {{}} keys are there more than once', count(*))
        FROM (SELECT {", ".join(table.key)} FROM {table.name} GROUP BY ALL HAVING count(*) > 1) HAVING count(*) > 0"""
            for table in WINDOW_TABLES
        ),
    ),
    Rule(
        "each cashier of the window's days has one row with all sales",
        "fail",
        """
        SELECT format('store {} cashier {}: {} sales in cashier_alcohol_days, {} in the audit', store_id, cashier_id,
            days.sale_count, audit.sale_count)
        FROM (SELECT store_id, cashier_id, sum(sale_count) AS sale_count FROM days GROUP BY ALL) AS days
        FULL JOIN cashier_alcohol_audit AS audit USING (store_id, cashier_id)
        WHERE days.sale_count IS DISTINCT FROM audit.sale_count
        ORDER BY ALL LIMIT 5""",
    ),
    Rule(
        "a row names the night runs that it was made from",
        "fail",
        """
        SELECT format('{} rows name other runs', count(*)) FROM cashier_alcohol_audit
        WHERE list_sort(list_distinct(run_ids)) <> (SELECT coalesce(list_sort(list(DISTINCT run_id)), []) FROM days)
        HAVING count(*) > 0""",
    ),
    Rule(
        "a row has a reason, a probability lies between 0 and 1, and an interval around its estimate",
        "fail",
        """
        SELECT format('{} rows do not', count(*)) FROM cashier_alcohol_audit
        WHERE review_reason IS NULL OR p_value NOT BETWEEN 0 AND 1 OR q_value NOT BETWEEN p_value AND 1
            OR (p_value IS NULL AND review_priority IS NOT NULL)
            OR under_legal_age_unchecked_count_low > under_legal_age_unchecked_count_high
            OR asked_share_difference NOT BETWEEN asked_share_difference_low AND asked_share_difference_high
        HAVING count(*) > 0""",
    ),
    Rule(
        "a landed outcome that is not counted has a reason, and of a case one outcome counts at most",
        "fail",
        """
        SELECT format('{} outcomes have no reason', count(*)) FROM reviewed_cases
        WHERE outcome_status IS NULL OR (outcome_status <> 'counted' AND outcome_reason IS NULL)
        HAVING count(*) > 0
        UNION ALL
        SELECT format('case {} has {} outcomes that count', case_id, count(*)) FROM reviewed_cases
        WHERE outcome_status = 'counted' GROUP BY case_business_date, case_id HAVING count(*) > 1
        LIMIT 5""",
    ),
    Rule(
        "review_precision adds up to the outcomes that count",
        "fail",
        """
        SELECT format('{} outcomes count; the row of all bands has {}, the rows of single bands {}', n, whole, parts)
        FROM (SELECT count(*) AS n FROM reviewed_cases WHERE outcome_status = 'counted'),
            (SELECT coalesce(sum(reviewed_case_count) FILTER (probability_band = 'all'), 0) AS whole,
                coalesce(sum(reviewed_case_count) FILTER (probability_band <> 'all'), 0) AS parts
            FROM review_precision)
        WHERE (whole, parts) <> (n, n)""",
    ),
    Rule(
        "landed outcomes of reviewed cases count",
        "warn",
        """
        -- Reasons name cases, and a published record must not: a person erased later would stay named in it.
        SELECT format('{} of {} are rejected or not listed; reviewed_cases says why', count_if(NOT is_known), count(*))
        FROM (SELECT *, outcome_status IN ('counted', 'replaced') AS is_known FROM reviewed_cases)
        HAVING count_if(NOT is_known) > 0""",
    ),
    Rule(
        "reviewers find as many under age as P(under the legal age) says",
        "warn",
        """
        SELECT format('{}: {} of {} judged cases, {:.1f} expected', model_version, under_age_case_count,
            judged_case_count, expected_under_age_case_count)
        FROM review_precision WHERE probability_band = 'all' AND calibration_p_value < 0.01 ORDER BY ALL""",
    ),
    Rule(
        "all cashier ids of the window are pseudonyms of one key, or none is",
        "warn",
        f"""
        WITH kinds AS (
            SELECT DISTINCT coalesce(nullif(regexp_extract(cashier_id, '{PSEUDONYM}', 1), ''), 'no key') AS kind
            FROM days)
        SELECT format('keys: {{}}; so a cashier counts as several', string_agg(kind, ', ' ORDER BY kind))
        FROM kinds HAVING count(*) > 1""",
    ),
    Rule(
        "every day of the window is published",
        "warn",
        """
        SELECT format('only {} of {} days are', $published, $wanted) WHERE $published < $wanted""",
    ),
)
