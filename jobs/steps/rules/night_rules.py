"""night_rules: the rules of check_night. Each is a sentence that is true of a healthy night, and a DuckDB query."""

from __future__ import annotations

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.landed import (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    PHOTO_COVERAGE,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_LINES,
)
from jobs.schemas.table import Table
from jobs.settings import PREFIX
from jobs.steps.rules.delivery_rules import DELIVERY_RULES, RULES_NEXT_TO_PUBLISHED
from jobs.steps.rules.rule import Rule
from models.serving.photo_statuses import UNFIT_FACE_STATUSES, PhotoStatus

FEWEST_TRAILING_DAYS = 7
"""With fewer published days before it, a night is not compared with their median."""
FEWEST_PHOTOS_OF_A_TILL = 20
"""A camera with fewer photos is not judged: they say little about it."""

COLUMNS_CHECKED = {
    CHECKOUT_PHOTOS: ["store_id", "till_id", "transaction_id", "taken_at", "key_problem", "is_other_date"],
    PHOTO_AGE_ESTIMATES: ["estimate_status", "estimate_reason"],
    TRANSACTION_LINES: ["closed_at", "line_type", "is_alcohol", "quantity", "net_amount"],
    REJECTED_TRANSACTION_LINES: ["rejection_reason", "rejection_kind", "is_other_date", "is_repeat"],
    TRANSACTION_AGES: [
        *("opened_at", "closed_at", "till_clock_skew_seconds", "photo_offset_seconds"),
        *("estimate_status", "photo_keys", "photo_count", "estimated_age_years", "under_18_probability"),
    ],
    AGE_GROUP_PURCHASES: [
        *("transaction_count", "line_count", "quantity", "net_amount"),
        *("estimated_transaction_count", "estimated_quantity", "estimated_net_amount"),
    ],
    AGE_GROUP_AFFINITY: ["affinity_index", "affinity_reason"],
    ALCOHOL_SALE_AUDIT: ["closed_at", "audit_status", "audit_reason", "case_id"],
    ALCOHOL_REVIEW_CASES: ["closed_at", "review_rank"],
    PHOTO_COVERAGE: [
        *("transaction_count", "with_usable_face_count", "reasons"),
        *("photo_count", "usable_photo_count", "matched_photo_count", "unmatched_photo_count"),
        "unusable_photo_reasons",
    ],
}


def checked_columns(table: Table) -> list[str]:
    """Return the columns of a table that the rules of check_night read, including its key."""
    return list(dict.fromkeys([*table.key, *COLUMNS_CHECKED.get(table, [])]))


def _repeated_keys(table: Table) -> str:
    key = ", ".join(table.key)
    return f"""SELECT format('{table.name}: {{}} keys are there more than once', count(*))
        FROM (SELECT {key} FROM {table.name} GROUP BY {key} HAVING count(*) > 1) HAVING count(*) > 0"""


def _missing_keys(table: Table) -> str:
    is_missing = " OR ".join(f"{name} IS NULL" for name in table.key)
    return f"""SELECT format('{table.name}: {{}} rows lack a part of the key', count(*))
        FROM {table.name} WHERE {is_missing} HAVING count(*) > 0"""


def _differs_from_usual(name: str, figure: str, change: str, limit: str, words: str, age_model: str = "") -> Rule:
    """Return a rule that compares a figure of the night with its median over the published days before it.

    `figure` is an SQL expression over columns that night_figures and pipeline_runs share. `change` is an expression
    of `tonight` and `usual`, the median; the rule is broken if it exceeds the setting `limit`. `words` are the
    arguments of format() for the finding. With `age_model`, only days of the same model are compared.
    """
    query = f"""
        WITH night_figures AS (
            SELECT count(*) AS transaction_count,
                count(*) FILTER (photo_count > 0) AS photographed_transaction_count,
                count(*) FILTER (estimate_status = 'estimated') AS estimated_transaction_count,
                avg(estimated_age_years) AS mean_estimated_age_years,
                avg(under_18_probability) AS mean_under_18_probability
            FROM transaction_ages
        ), compared AS (
            SELECT tonight, usual,
                CASE WHEN days < {FEWEST_TRAILING_DAYS} THEN format(
                        '{{}} of the {{}} days before are published{age_model}; {FEWEST_TRAILING_DAYS} are needed',
                        days, $trailing_window_days)
                    WHEN tonight IS NULL THEN 'the day has no such figure' END AS not_run_reason
            FROM (SELECT {figure} AS tonight FROM night_figures),
                (SELECT median({figure}) AS usual, count({figure}) AS days FROM trailing_runs
                 WHERE {"model_version = $model_version" if age_model else "true"})
        ), measured AS (
            SELECT *, CASE WHEN not_run_reason IS NULL THEN {change} END AS measured_value FROM compared
        )
        SELECT CASE WHEN measured_value > ${limit} THEN format({words}) END AS finding,
            measured_value, ${limit} AS limit_value, not_run_reason
        FROM measured"""
    return Rule(name, "warn", query)


UNFIT_CAMERAS = f"""
    WITH photos AS (SELECT store_id, till_id, sum(photo_count) AS n FROM photo_coverage GROUP BY ALL),
    faults AS (
        SELECT store_id, till_id, entry.key AS fault, sum(entry.value) AS n
        FROM (SELECT store_id, till_id, unnest(map_entries(unusable_photo_reasons)) AS entry FROM photo_coverage)
        WHERE entry.key IN ({", ".join(f"'{status}'" for status in UNFIT_FACE_STATUSES)}) GROUP BY ALL
    ),
    tills AS (
        SELECT store_id, till_id, sum(n) AS n, arg_max(fault, n) AS first_fault,
            string_agg(format('{{}} {{}}', n, fault), ', ' ORDER BY n DESC, fault) AS words
        FROM faults GROUP BY ALL
    )
    SELECT format('till {{}}/{{}}: of {{}} photos {{}}{{}}', store_id, till_id, photos.n, words,
        CASE WHEN first_fault = '{PhotoStatus.FACE_DISTORTED}'
             THEN '; if the camera squashes its photos, set {PREFIX}PHOTO_STRETCH'
             ELSE '; check the camera and the light' END)
    FROM tills JOIN photos USING (store_id, till_id)
    WHERE photos.n >= {FEWEST_PHOTOS_OF_A_TILL} AND tills.n > $max_unfit_photo_share_warning * photos.n
    ORDER BY store_id, till_id"""

RULES = (
    Rule(
        "every table has the columns that it declares",
        "fail",
        """SELECT format('{}: column {} is {} in the schema and {} in the file', table_name, column_name,
            coalesce(declared.column_type, 'absent'), coalesce(staged.column_type, 'absent'))
        FROM (FROM schema_columns WHERE origin = 'declared') AS declared
        FULL JOIN (FROM schema_columns WHERE origin = 'staged') AS staged USING (table_name, column_name)
        WHERE declared.column_type IS DISTINCT FROM staged.column_type ORDER BY ALL""",
    ),
    Rule(
        "a key is there once",
        "fail",
        " UNION ALL ".join(_repeated_keys(table) for table in NIGHT_TABLES),
    ),
    Rule(
        "every row has its key",
        "fail",
        " UNION ALL ".join(_missing_keys(table) for table in NIGHT_TABLES),
    ),
    Rule(
        # Photos that name a transaction are left out: they belong to its date, whenever they were taken.
        "no row is of another date",
        "fail",
        """SELECT format('{}: {} rows, such as at {} UTC', of, count(*), strftime(min(moment AT TIME ZONE 'UTC'), '%c'))
        FROM (
            SELECT 'transaction_lines' AS of, closed_at AS moment FROM transaction_lines
            UNION ALL SELECT 'transaction_ages', closed_at FROM transaction_ages
            UNION ALL SELECT 'alcohol_sale_audit', closed_at FROM alcohol_sale_audit
            UNION ALL SELECT 'alcohol_review_cases', closed_at FROM alcohol_review_cases
            UNION ALL SELECT 'checkout_photos', taken_at FROM checkout_photos
            WHERE key_problem IS NULL AND transaction_id IS NULL
        ) WHERE moment < $day_begins_at OR moment >= $day_ends_at GROUP BY of ORDER BY of""",
    ),
    Rule(
        # A missing photo may have been deleted by `retain`; these two tell of a store that changed or failed meanwhile.
        "the store hands out the photos that it listed",
        "fail",
        """SELECT CASE WHEN share > limit_value AND n > 1
                THEN format('{} photos were not returned, such as: {}', n, reason) END AS finding,
            share AS measured_value, limit_value
        FROM (
            SELECT coalesce(avg(is_unfetched::INT), 0) AS share, count_if(is_unfetched) AS n,
                min(estimate_reason) FILTER (is_unfetched) AS reason, $max_unfetched_photo_share AS limit_value
            FROM (SELECT estimate_status IN ('replaced', 'unreadable_object') AS is_unfetched,
                         estimate_reason FROM photo_age_estimates)
        )""",
    ),
    Rule(
        # Equal counts alone could hide a lost photo and an invented one, hence the anti join.
        "ten photos in, ten rows out",
        "fail",
        """SELECT format('{} photos delivered, {} rows in photo_age_estimates', landed, estimated)
        FROM (SELECT count(*) AS landed FROM checkout_photos), (SELECT count(*) AS estimated FROM photo_age_estimates)
        WHERE landed <> estimated OR EXISTS (FROM photo_age_estimates ANTI JOIN checkout_photos USING (photo_key))""",
    ),
    Rule(
        "a photo without an estimate has a reason",
        "fail",
        """SELECT format('{} photos have neither an estimate nor a reason', count(*)) FROM photo_age_estimates
        WHERE estimate_status IS NULL OR (estimate_status <> 'estimated' AND estimate_reason IS NULL)
        HAVING count(*) > 0""",
    ),
    Rule(
        "a rejected line has a reason",
        "fail",
        """SELECT format('{} lines have none', count(*)) FROM rejected_transaction_lines WHERE rejection_reason IS NULL
        HAVING count(*) > 0""",
    ),
    Rule(
        "each transaction of the log has one row of ages",
        "fail",
        """SELECT format('{} transactions in transaction_lines, {} in transaction_ages', logged, aged)
        FROM (SELECT count(*) AS logged
              FROM (SELECT DISTINCT store_id, till_id, transaction_id FROM transaction_lines)),
        (SELECT count(*) AS aged FROM transaction_ages)
        WHERE logged <> aged""",
    ),
    Rule(
        "a photo belongs to one transaction at most",
        "fail",
        """SELECT format('{} photos belong to several', count(*)) FROM (
            FROM (SELECT unnest(photo_keys) AS photo_key FROM transaction_ages) SELECT photo_key
            GROUP BY photo_key HAVING count(*) > 1
        ) HAVING count(*) > 0""",
    ),
    Rule(
        # Sums of decimals are exact, so any difference is an error; estimates below are floats and get a tolerance.
        "age_group_purchases adds up to the log",
        "fail",
        """SELECT format('transaction_lines: {} lines, {} units, amount {}; age_group_purchases: {} lines, {} units, '
            'amount {}', l.n, l.q, l.a, p.n, p.q, p.a)
        FROM (SELECT count(*) AS n, coalesce(sum(quantity), 0) AS q, coalesce(sum(net_amount), 0) AS a
              FROM transaction_lines) l,
             (SELECT coalesce(sum(line_count), 0) AS n, coalesce(sum(quantity), 0) AS q,
                     coalesce(sum(net_amount), 0) AS a
              FROM age_group_purchases) p
        WHERE (l.n, l.q, l.a) <> (p.n, p.q, p.a)""",
    ),
    Rule(
        "estimates of age_group_purchases add up to its counts",
        "fail",
        """WITH sums AS (
            SELECT store_id, product_category AS category, currency, unnest([
                {kind: 'receipts', logged: sum(transaction_count)::DOUBLE, spread: sum(estimated_transaction_count)},
                {kind: 'units', logged: sum(quantity)::DOUBLE, spread: sum(estimated_quantity)},
                {kind: currency, logged: sum(net_amount)::DOUBLE, spread: sum(estimated_net_amount)}
            ], recursive := true)
            FROM age_group_purchases GROUP BY store_id, category, currency
        )
        SELECT format('store {}, {}: {} {} counted, {} estimated', store_id, category, logged, kind, spread)
        FROM sums WHERE coalesce(abs(logged - spread), 'inf') > 1e-6 * greatest(abs(logged), 1) LIMIT 10""",
    ),
    Rule(
        "an affinity has an index or a reason",
        "fail",
        """SELECT format('{} rows have neither, or both', count(*)) FROM age_group_affinity
        WHERE (affinity_index IS NULL) = (affinity_reason IS NULL) HAVING count(*) > 0""",
    ),
    Rule(
        "each alcohol sale of the log is audited once, with a status and a reason",
        "fail",
        """SELECT format('{} in transaction_lines, {} with status and reason in alcohol_sale_audit', sold, audited)
        FROM (SELECT count(*) AS sold
              FROM (SELECT DISTINCT store_id, till_id, transaction_id FROM transaction_lines
                    WHERE is_alcohol AND line_type = 'sale')),
        (SELECT count(*) AS audited FROM alcohol_sale_audit
         WHERE audit_status IS NOT NULL AND audit_reason IS NOT NULL)
        WHERE sold <> audited""",
    ),
    Rule(
        "each review case is an unchecked sale of the audit",
        "fail",
        """SELECT format('{} cases are not, such as {}', count(*), min(case_id)) FROM alcohol_review_cases ANTI JOIN (
            FROM alcohol_sale_audit
            WHERE audit_status IN ('possibly_under_age_unchecked', 'challenge_age_unchecked', 'check_not_logged')
        ) USING (case_id) HAVING count(*) > 0""",
    ),
    Rule(
        "review cases have the ranks 1 to n",
        "fail",
        """SELECT format('{} cases have {} ranks, {} to {}', n, ranks, first_rank, last_rank) FROM (
            SELECT count(*) AS n, count(DISTINCT review_rank) AS ranks, min(review_rank) AS first_rank,
                   max(review_rank) AS last_rank FROM alcohol_review_cases
        ) WHERE n > 0 AND (ranks, first_rank, last_rank) <> (n, 1, n)""",
    ),
    Rule(
        "photo_coverage adds up to the photos and the transactions",
        "fail",
        """SELECT format('{} transactions, {} photos, {} usable, {} matched; in photo_coverage {}, {}, {}, {}',
                         t.n, p.n, p.u, t.m, c.t, c.p, c.u, c.m)
        FROM (SELECT count(*) AS n, coalesce(sum(len(photo_keys)), 0) AS m FROM transaction_ages) t,
             (SELECT count(*) AS n, coalesce(count_if(estimate_status = 'estimated'), 0) AS u
              FROM photo_age_estimates) p,
             (SELECT coalesce(sum(transaction_count), 0) AS t, coalesce(sum(photo_count), 0) AS p,
                     coalesce(sum(usable_photo_count), 0) AS u, coalesce(sum(matched_photo_count), 0) AS m
              FROM photo_coverage) c
        WHERE (t.n, p.n, p.u, t.m) <> (c.t, c.p, c.u, c.m)""",
    ),
    Rule(
        "photo_coverage has a reason for each transaction and photo that does not count",
        "fail",
        """SELECT format('{} rows do not', count(*)) FROM photo_coverage
        WHERE photo_count <> matched_photo_count + unmatched_photo_count
        OR transaction_count - with_usable_face_count <> coalesce(list_sum(map_values(reasons)), 0)
        OR photo_count - usable_photo_count <> coalesce(list_sum(map_values(unusable_photo_reasons)), 0)
        HAVING count(*) > 0""",
    ),
    Rule(
        "most transactions have an age estimate",
        "warn",
        """SELECT CASE WHEN share > limit_value
                THEN format('{:.0f} % of {} transactions have none', 100 * share, n) END AS finding,
            share AS measured_value, limit_value
        FROM (
            SELECT avg((estimate_status <> 'estimated')::INT) AS share, count(*) AS n,
                $max_unknown_share_warning AS limit_value
            FROM transaction_ages
        )""",
    ),
    _differs_from_usual(
        "as many transactions as usual have a photo",
        figure="photographed_transaction_count / transaction_count",
        change="usual - tonight",
        limit="max_coverage_drop_warning",
        words="'{:.1f} % have one, usually {:.1f} %', 100 * tonight, 100 * usual",
    ),
    _differs_from_usual(
        "no more transactions than usual lack an age estimate",
        figure="1 - estimated_transaction_count / transaction_count",
        change="tonight - usual",
        limit="max_unknown_share_rise_warning",
        words="'{:.1f} % lack one, usually {:.1f} %', 100 * tonight, 100 * usual",
    ),
    _differs_from_usual(
        "the mean estimated age is the usual one",
        figure="mean_estimated_age_years",
        change="abs(tonight - usual)",
        limit="max_mean_age_drift_warning_years",
        words="'it is {:.1f} years, usually {:.1f}', tonight, usual",
        age_model=" with this age model",
    ),
    _differs_from_usual(
        "the mean P(under 18) is the usual one",
        figure="mean_under_18_probability",
        change="abs(tonight - usual)",
        limit="max_under_18_drift_warning",
        words="'it is {:.3f}, usually {:.3f}', tonight, usual",
        age_model=" with this age model",
    ),
    _differs_from_usual(
        "there are about as many transactions as usual",
        figure="transaction_count",
        change="greatest(tonight, usual) / least(tonight, usual)",
        limit="max_volume_ratio_warning",
        words="'there are {}, usually {:.0f}', tonight, usual",
    ),
    Rule("each till's camera shows faces well", "warn", UNFIT_CAMERAS),
    *DELIVERY_RULES,
    *RULES_NEXT_TO_PUBLISHED,
)
