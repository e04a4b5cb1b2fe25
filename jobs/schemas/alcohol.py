"""alcohol: tables of alcohol sales, and of the cashiers who made them."""

from __future__ import annotations

import pyarrow as pa

from jobs.schemas.table import (
    AGE_COLUMNS,
    AMOUNT_SUM,
    CASE_ID,
    COUNT,
    EXPECTED,
    INSTANT,
    LEGAL_PURCHASE_AGE_YEARS,
    MODEL_VERSION,
    NIGHT_RUN_IDS,
    PROBABILITY,
    QUANTITY_SUM,
    RUN_ID,
    TEXT,
    TRANSACTION_KEY,
    TRANSACTION_KEY_COLUMNS,
    UNDER_CHALLENGE_AGE_PROBABILITY,
    UNDER_LEGAL_AGE_PROBABILITY,
    WINDOW_FIRST_DATE,
    WINDOW_RUN_ID,
    Table,
    column,
)

STRATA = pa.list_(
    pa.struct(
        [
            ("till_id", pa.string()),
            ("hour", pa.int32()),
            ("probability_band", pa.int32()),
            ("case_count", pa.int64()),
            ("asked_count", pa.int64()),
            ("under_challenge_age_count", pa.float64()),
        ]
    )
)

ALCOHOL_SALE_AUDIT = Table(
    name="alcohol_sale_audit",
    grain="one row per transaction with an alcohol sale line",
    key=TRANSACTION_KEY,
    columns=(
        *TRANSACTION_KEY_COLUMNS,
        column("cashier_id", TEXT, "who was at the till; a pseudonym where there is a key for them"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column("alcohol_line_count", COUNT, "lines with alcohol, voids included"),
        column("alcohol_quantity", QUANTITY_SUM, "units of alcohol, voids taken off"),
        column("alcohol_net_amount", AMOUNT_SUM, "paid for alcohol, voids taken off"),
        column("currency", TEXT, "currency of the alcohol lines"),
        column("id_check", TEXT, "ID check as logged on the alcohol lines: refused_sale, shown, not_asked or null"),
        column("estimate_status", TEXT, "estimated, no_photo or no_usable_photo"),
        *AGE_COLUMNS,
        column(
            "under_18_probability",
            PROBABILITY,
            "P(age under 18), corrected for the ages of the day's alcohol buyers (age_mixes); transaction_ages has it "
            "from the photos alone",
        ),
        column("under_25_probability", PROBABILITY, "P(age under 25), corrected in the same way"),
        LEGAL_PURCHASE_AGE_YEARS,
        UNDER_LEGAL_AGE_PROBABILITY,
        column("challenge_age_years", pa.int32(), "policy: who looks younger is asked for an ID"),
        UNDER_CHALLENGE_AGE_PROBABILITY,
        column(
            "audit_status",
            TEXT,
            "sale_refused, sale_voided, id_shown, no_estimate, check_not_logged, clearly_adult, "
            "challenge_age_unchecked or possibly_under_age_unchecked: a reason to look, never a verdict. The share of "
            "such rows expected to be right about the age: of possibly_under_age_unchecked the mean of "
            "under_legal_age_probability, each being at least under_legal_age_alert_probability (0.5); of "
            "challenge_age_unchecked the mean of under_challenge_age_probability, each being at least "
            "under_challenge_age_alert_probability (0.5); of check_not_logged that mean too; of clearly_adult the rest "
            "of that mean. Where the cashier saw more than the photo shows, those not asked are older than that",
        ),
        column("audit_reason", TEXT, "the status in words, with its figures"),
        CASE_ID,
        MODEL_VERSION,
        RUN_ID,
    ),
)

ALCOHOL_REVIEW_CASES = Table(
    name="alcohol_review_cases",
    grain="one row per alcohol sale that a person should look at, most likely under age first, blinded to the cashier",
    key=("case_id",),
    columns=(
        CASE_ID,
        column("review_rank", COUNT, "1 for the sale whose look is expected to yield most, without gaps"),
        column("store_id", TEXT, "store that rang up the sale"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column(
            "photo_keys",
            pa.list_(TEXT),
            "the buyer's photos under the landing URI, oldest first; a key names the till: show the photo, not the key",
        ),
        column("audit_status", TEXT, "possibly_under_age_unchecked, challenge_age_unchecked or check_not_logged"),
        LEGAL_PURCHASE_AGE_YEARS,
        UNDER_LEGAL_AGE_PROBABILITY,
        UNDER_CHALLENGE_AGE_PROBABILITY,
        column("review_reason", TEXT, "why a person should look, in words"),
        MODEL_VERSION,
        RUN_ID,
    ),
)

CASHIER_ALCOHOL_DAYS = Table(
    name="cashier_alcohol_days",
    grain="one row per store and cashier with an alcohol sale line; all counts and sums of days may be added up",
    key=("store_id", "cashier_id"),
    columns=(
        column("store_id", TEXT, "store that rang up the sales"),
        column("cashier_id", TEXT, "who was at the till; a pseudonym where there is a key for them"),
        column("sale_count", COUNT, "alcohol sales that were paid for; refused and voided ones are not among them"),
        column("refused_count", COUNT, "sales that the cashier refused"),
        column("voided_count", COUNT, "sales whose alcohol was all voided before payment, none of them refused"),
        column("estimated_sale_count", COUNT, "of sale_count, those whose buyer has an age estimate"),
        column(
            "check_not_logged_count", COUNT, "of sale_count, those whose till logs no ID check: neither asked nor not"
        ),
        column("under_legal_age_count", EXPECTED, "of estimated_sale_count, expected buyers under the legal age"),
        column("under_legal_age_variance", EXPECTED, "variance of that number, the sum of p(1-p)"),
        column(
            "under_challenge_age_count", EXPECTED, "of estimated_sale_count, expected buyers under the challenge age"
        ),
        column("under_challenge_age_variance", EXPECTED, "variance of that number"),
        column("under_legal_age_unchecked_count", EXPECTED, "expected buyers under the legal age not asked for an ID"),
        column("under_legal_age_unchecked_variance", EXPECTED, "variance of that number"),
        column(
            "asked_count", EXPECTED, "expected buyers under the challenge age asked for an ID, refused sales included"
        ),
        column("asked_variance", EXPECTED, "variance of that number"),
        column("not_asked_count", EXPECTED, "expected buyers under the challenge age not asked for an ID"),
        column("not_asked_variance", EXPECTED, "variance of that number"),
        column(
            "strata",
            STRATA,
            "the sales behind asked_count and not_asked_count, by till_id, hour in the stores' time zone and "
            "probability_band of P(under the challenge age), named by its lower end in percent: case_count sales, of "
            "which asked_count were asked for an ID, with under_challenge_age_count expected buyers under that age; "
            "null where there are none",
        ),
        MODEL_VERSION,
        RUN_ID,
    ),
)

CASHIER_ALCOHOL_AUDIT = Table(
    name="cashier_alcohol_audit",
    grain="one row per store and cashier with an alcohol sale line in the window of days that ends on business_date; "
    "no row says that anyone did wrong",
    key=("store_id", "cashier_id"),
    columns=(
        column("store_id", TEXT, "store that rang up the sales"),
        column("cashier_id", TEXT, "who was at the till; a pseudonym where there is a key for them"),
        WINDOW_FIRST_DATE,
        column("day_count", COUNT, "days of the window that are published"),
        column("sale_count", COUNT, "alcohol sales that were paid for; refused and voided ones are not among them"),
        column("refused_count", COUNT, "sales that the cashier refused"),
        column("estimated_sale_count", COUNT, "of sale_count, those whose buyer has an age estimate"),
        column(
            "check_not_logged_count", COUNT, "of sale_count, those whose till logs no ID check: neither asked nor not"
        ),
        column(
            "under_legal_age_unchecked_count",
            EXPECTED,
            "expected buyers under the legal age who were not asked for an ID: a sum of probabilities, so that of many "
            "buyers who surely were of age a part is counted too",
        ),
        column("under_legal_age_unchecked_count_low", EXPECTED, "lower end of the 90 % interval of that number"),
        column("under_legal_age_unchecked_count_high", EXPECTED, "upper end of the 90 % interval of that number"),
        column(
            "asked_count", EXPECTED, "expected buyers under the challenge age asked for an ID, refused sales included"
        ),
        column("not_asked_count", EXPECTED, "expected buyers under the challenge age not asked for an ID"),
        column(
            "compared_count",
            EXPECTED,
            "of asked_count and not_asked_count, those at a till and in two hours in which another cashier too served "
            "buyers who looked as young; only these tell how a cashier asks",
        ),
        column("compared_asked_share", PROBABILITY, "share of those sales in which an ID was asked for, else null"),
        column(
            "expected_asked_share",
            PROBABILITY,
            "the same share if the other cashiers of the same store, till and two hours had served the same buyers: "
            "what the cashier's own is held against, else null",
        ),
        column(
            "asked_share_difference",
            pa.float64(),
            "estimate of how much more often (less often: under 0) than the others the cashier asks buyers under the "
            "challenge age; further from 0 than the two shares are apart, since these hold older buyers too; else null",
        ),
        column("asked_share_difference_low", pa.float64(), "lower end of the 90 % interval of that difference"),
        column("asked_share_difference_high", pa.float64(), "upper end of the 90 % interval of that difference"),
        column(
            "between_cashiers_deviation",
            pa.float64(),
            "standard deviation of the difference between cashiers beyond chance, in this window; habits differ by so "
            "much without any fault, and p_value allows for it; taken as 0 where fewer than 20 cashiers are judged",
        ),
        column(
            "p_value",
            PROBABILITY,
            "probability of so few asked by chance alone if the cashier asked as the others do; null where there are "
            "too few cases to say",
        ),
        column(
            "q_value",
            PROBABILITY,
            "of the cashiers with this q_value or less, at most this share is expected to be there by chance alone",
        ),
        column(
            "review_priority",
            COUNT,
            "1 for the cashier whose sales a person is to look at first; null where there is no reason to, or too few "
            "cases to say; a reason to look, never a verdict",
        ),
        column("review_reason", TEXT, "why there is a priority or none, in words, with its figures"),
        column("model_versions", pa.list_(TEXT), "age models of those nights"),
        NIGHT_RUN_IDS,
        WINDOW_RUN_ID,
    ),
)

REVIEWED_CASES = Table(
    name="reviewed_cases",
    grain="one row per outcome that reviewers landed for the cases of the window of days that ends on business_date",
    key=("source_file", "line_in_file"),
    columns=(
        column("source_file", TEXT, "object key of the file under the landing URI"),
        column(
            "line_in_file",
            COUNT,
            "line of the file, from 1 (a CSV's header), or row of a Parquet file; 0 for the file as a whole",
        ),
        column("case_business_date", pa.date32(), "business date of the cases that the file is about, from its folder"),
        column("case_id", TEXT, "case in alcohol_review_cases of that date"),
        column("reviewed_at", INSTANT, "when the reviewer judged, UTC"),
        column(
            "reviewer_outcome",
            TEXT,
            "how old the reviewer found the buyer: under_age (under the legal age), of_age, cannot_tell, or "
            "wrong_photo (not of the buyer); null where something else was landed",
        ),
        column(
            "outcome_status",
            TEXT,
            "counted, replaced (a later outcome of the case counts), not_listed (no such case on the day's list as "
            "it is published now) or rejected (breaks the landing contract)",
        ),
        column("outcome_reason", TEXT, "why it is not counted, in words, else null"),
        column("landed_line", TEXT, "the record as it came, as JSON or text"),
        column("review_rank", COUNT, "rank of the case on the list, else null"),
        column("under_legal_age_probability", PROBABILITY, "P(age under the legal age) of the case, else null"),
        column("model_version", TEXT, "age model that listed the case, else null"),
        column("case_run_id", TEXT, "night run that listed the case, else null"),
        WINDOW_RUN_ID,
    ),
)

REVIEW_PRECISION = Table(
    name="review_precision",
    grain="one row per age model and band of P(under the legal age) of the cases listed in the window of days that "
    "ends on business_date, and one for all bands",
    key=("model_version", "probability_band"),
    columns=(
        column("model_version", TEXT, "age model that listed the cases"),
        column(
            "probability_band", TEXT, "such as 0.3-0.4, its upper end left out, of under_legal_age_probability; or all"
        ),
        WINDOW_FIRST_DATE,
        column("listed_case_count", COUNT, "cases listed"),
        column("reviewed_case_count", COUNT, "of those, with an outcome that counts"),
        column("cannot_tell_case_count", COUNT, "of those, where the reviewer could not tell"),
        column("wrong_photo_case_count", COUNT, "of those, where the photo is not of the buyer"),
        column("judged_case_count", COUNT, "the rest of those: found under_age or of_age"),
        column("under_age_case_count", COUNT, "of those, found under_age"),
        column("precision", PROBABILITY, "under_age_case_count over judged_case_count, null where nothing is judged"),
        column("precision_low", PROBABILITY, "lower end of the 90 % interval of the precision (Jeffreys)"),
        column("precision_high", PROBABILITY, "upper end of the 90 % interval of the precision"),
        column("expected_under_age_case_count", EXPECTED, "sum of under_legal_age_probability over the judged cases"),
        column("expected_precision", PROBABILITY, "that over judged_case_count: what the precision should be near"),
        column(
            "calibration_p_value",
            PROBABILITY,
            "probability of an under_age_case_count at least so far off, up or down, if each judged case's probability "
            "holds; a small one says that under_legal_age_probability is off",
        ),
        column("precision_reason", TEXT, "why there is no precision, in words, else null"),
        NIGHT_RUN_IDS,
        WINDOW_RUN_ID,
    ),
)
