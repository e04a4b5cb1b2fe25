"""delivery_rules: the rules of check_night about the stores' deliveries. check-delivery applies them earlier."""

from __future__ import annotations

from jobs.settings import PREFIX
from jobs.steps.rules.rule import Rule
from jobs.steps.rules.till_clocks import DISAGREEING_CLOCKS

FEWEST_REPUBLISHED = 20
"""A published day with fewer receipts may be replaced by a day of any size: it easily changes by half."""
SENTENCES_SHOWN = 10
NEAREST_SHOWN = 3

_KINDS = """(SELECT string_agg(format('{} ({})', kind, n), '; ') FROM (
        SELECT coalesce(rejection_kind, 'of no known kind') AS kind, count(*) AS n FROM rejected_transaction_lines
        WHERE line_in_file > 0 GROUP BY ALL ORDER BY n DESC, kind LIMIT 3))"""
"""The most frequent kinds of rejected lines. No values: warnings are published, and a value may name a person."""

OTHER_DATE = Rule(
    "what landed is of the business date",
    "fail",
    """SELECT CASE WHEN greatest(lines, photos) > $max_other_date_share
            THEN format('{:.0f} % of the receipt lines and {:.0f} % of the photos are of another date',
                100 * lines, 100 * photos) END AS finding,
        greatest(lines, photos) AS measured_value, $max_other_date_share AS limit_value
    FROM (SELECT coalesce(count_if(is_other) / count(*), 0) AS lines FROM (
            SELECT false AS is_other FROM transaction_lines
            UNION ALL SELECT is_other_date FROM rejected_transaction_lines WHERE line_in_file > 0)),
         (SELECT coalesce(count_if(is_other_date) / count(*), 0) AS photos FROM checkout_photos)""",
    judges_delivery=True,
)

# Files with an unknown ending are no receipts to this rule; READ_WHOLE warns about them.
UNREADABLE_FILES = Rule(
    "receipt files can be read to their end",
    "fail",
    """SELECT CASE WHEN share > limit_value
            THEN format('{} of {} files cannot, such as: {}; have them delivered again', unreadable, files, reason)
            END AS finding,
        share AS measured_value, limit_value
    FROM (
        SELECT count(reason) AS unreadable, min(reason) AS reason, greatest(count(*), 1) AS files,
            unreadable / files AS share, $max_unreadable_file_share AS limit_value
        FROM (FROM receipt_files WHERE has_known_ending) FULL JOIN (
            SELECT source_file, rejection_reason AS reason FROM rejected_transaction_lines
            WHERE line_in_file = 0 AND source_file NOT IN (
                SELECT source_file FROM receipt_files WHERE NOT has_known_ending)
        ) USING (source_file)
    )""",
    judges_delivery=True,
)

# Repeats and lines of another date are not counted: a file delivered twice loses nothing, and OTHER_DATE judges the
# rest.
REJECTED_LINES = Rule(
    "most receipt lines keep the contract",
    "fail",
    f"""SELECT CASE WHEN share > limit_value THEN format(
            '{{:.0f}} % of {{}} lines are rejected, more than {PREFIX}MAX_REJECTED_LINE_SHARE allows: {{}}',
            100 * share, lines, {_KINDS}) END AS finding,
        share AS measured_value, limit_value
    FROM (
        SELECT count(*) AS lines, coalesce(count_if(is_counted) / count(*), 0) AS share,
            $max_rejected_line_share AS limit_value
        FROM (
            SELECT false AS is_counted FROM transaction_lines
            UNION ALL SELECT NOT coalesce(is_repeat, false) AND NOT coalesce(is_other_date, false)
            FROM rejected_transaction_lines WHERE line_in_file > 0)
    )""",
    judges_delivery=True,
)

# An empty delivery is not refused: there is nothing to reject, and RECEIPTS warns.
ALL_REFUSED = Rule(
    "not all that the stores delivered is refused",
    "fail",
    """SELECT format('{} lines and {} files are rejected, and no line is kept; see rejected_transaction_lines',
            count_if(line_in_file > 0), count_if(line_in_file = 0))
    FROM rejected_transaction_lines WHERE NOT EXISTS (FROM transaction_lines) HAVING count(*) > 0""",
    judges_delivery=True,
)

REPUBLISHED = Rule(
    "a day that is out is not replaced by a much smaller one",
    "fail",
    f"""WITH tonight AS (
        SELECT count(*) AS receipts, count(*) FILTER (photo_count > 0) AS with_photo,
            count(*) FILTER (estimate_status = 'estimated') AS estimated
        FROM transaction_ages
    ), compared AS (
        SELECT run_id, unnest([
            {{what: 'receipts', tonight: receipts, published: transaction_count}},
            {{what: 'receipts with a photo', tonight: with_photo, published: photographed_transaction_count}},
            {{what: 'receipts with an age estimate', tonight: estimated, published: estimated_transaction_count}}
        ], recursive := true)
        FROM tonight, run_before
    )
    SELECT string_agg(format('{{}} {{}}, but the published run {{}} has {{}}', tonight, what, run_id, published), '; ')
            FILTER (tonight / published < $min_republished_share)
            || '; have the whole day delivered, or set {PREFIX}MIN_REPUBLISHED_SHARE=0 to publish it anyway'
            AS finding,
        min(tonight / published) AS measured_value, $min_republished_share AS limit_value
    FROM compared WHERE published >= {FEWEST_REPUBLISHED}""",
    judges_delivery=True,
)

READ_WHOLE = Rule(
    "every receipt file is read whole",
    "warn",
    f"""SELECT rejection_reason FROM rejected_transaction_lines WHERE line_in_file = 0
    ORDER BY source_file LIMIT {SENTENCES_SHOWN}""",
)

CONTRACT = Rule(
    "receipt lines keep the contract",
    "warn",
    f"""SELECT format('{{}} lines rejected: {{}}', count(*), {_KINDS})
    FROM rejected_transaction_lines WHERE line_in_file > 0 HAVING count(*) > 0""",
)

SIGNS = Rule(
    "returns and voids have minus signs",
    "warn",
    """SELECT format('{} lines have only one of quantity and net_amount above 0, such as at till {}/{}; this is right '
        'for a voided discount', count(*), min(store_id), arg_min(till_id, store_id))
    FROM transaction_lines WHERE line_type IN ('return', 'void') AND (quantity > 0) <> (net_amount > 0)
    HAVING count(*) > 0""",
)

REPEATED_NEXT_DAY = Rule(
    "a receipt is of one business date",
    "warn",
    """SELECT format('{} receipts are published for {} too, such as at till {}/{}: same number, same closed_at',
        count(*), business_date, min(store_id), arg_min(till_id, store_id))
    FROM transaction_ages JOIN neighbour_receipts USING (store_id, till_id, transaction_id, closed_at)
    GROUP BY business_date ORDER BY business_date""",
)

# A store or till that is named differently in keys and receipts would lose all its photos.
COUNTERPARTS = Rule(
    "photos and receipts name the same stores and tills",
    "warn",
    f"""WITH photos AS (
        SELECT store_id, till_id, count(*) AS n FROM checkout_photos
        WHERE key_problem IS NULL AND store_id IS NOT NULL GROUP BY ALL
    ), receipts AS (
        SELECT store_id, till_id, count(DISTINCT transaction_id) AS n FROM transaction_lines GROUP BY ALL
    ), alone AS (
        -- a store that is missing as a whole is named once, without its tills
        SELECT 'store' AS what, NULL AS parent, store_id AS name, sum(n) AS n FROM photos
            ANTI JOIN receipts USING (store_id) GROUP BY ALL
        UNION ALL SELECT 'till', store_id, till_id, n FROM photos
            SEMI JOIN receipts USING (store_id) ANTI JOIN receipts USING (store_id, till_id)
    ), candidates AS (
        SELECT 'store' AS what, NULL AS parent, store_id AS name FROM receipts
            ANTI JOIN photos USING (store_id) GROUP BY ALL
        UNION ALL SELECT 'till', store_id, till_id FROM receipts
            SEMI JOIN photos USING (store_id) ANTI JOIN photos USING (store_id, till_id)
    ), nearest AS (
        SELECT alone.what, alone.parent, alone.name, n, list(candidates.name ORDER BY
            levenshtein(ltrim(alone.name, '0'), ltrim(candidates.name, '0')),
            levenshtein(alone.name, candidates.name), candidates.name
        ) FILTER (candidates.name IS NOT NULL)[1:{NEAREST_SHOWN}] AS names
        FROM alone LEFT JOIN candidates
            ON alone.what = candidates.what AND alone.parent IS NOT DISTINCT FROM candidates.parent
        GROUP BY ALL
    ), numbered AS (
        SELECT *, row_number() OVER (ORDER BY what, parent, name) AS number, count(*) OVER () AS total FROM nearest
    )
    SELECT CASE WHEN number > {SENTENCES_SHOWN} THEN format('and {{}} more', total - {SENTENCES_SHOWN}) ELSE format(
            '{{}} {{}} has {{}} photos but no receipts; ', what, concat_ws('/', parent, name), n)
        || CASE WHEN names IS NULL THEN format('no {{}} has receipts but no photos', what)
            ELSE format('with receipts but no photos, nearest first: {{}}', list_aggregate(names, 'string_agg', ', '))
        END END
    FROM numbered WHERE number <= {SENTENCES_SHOWN} + 1 ORDER BY number""",
)

CLOCKS = Rule("each till's clock agrees with its camera's", "warn", DISAGREEING_CLOCKS)
PHOTOS = Rule("the day has photos", "warn", "SELECT 'none is delivered' FROM checkout_photos HAVING count(*) = 0")
RECEIPTS = Rule("the day has receipts", "warn", "SELECT 'no line is valid' FROM transaction_lines HAVING count(*) = 0")

DELIVERY_RULES = (
    OTHER_DATE,
    UNREADABLE_FILES,
    REJECTED_LINES,
    ALL_REFUSED,
    CLOCKS,
    COUNTERPARTS,
    PHOTOS,
    RECEIPTS,
    READ_WHOLE,
    CONTRACT,
    SIGNS,
)
"""Rules that need only the photos and receipts of a day."""
RULES_NEXT_TO_PUBLISHED = (REPUBLISHED, REPEATED_NEXT_DAY)
"""Rules that compare a delivery with published tables, so check-delivery cannot apply them."""
