"""alcohol: schemas of tables about alcohol sales, their review, and the cashiers who made them."""

from __future__ import annotations

import pyarrow as pa

from jobs.schemas.table import (
    AGE_COLUMNS,
    AMOUNT_SUM,
    CASE_ID,
    COUNT,
    EXPECTED,
    FILE_LINE_COLUMNS,
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
        column("cashier_id", TEXT, "cashier at the till; a pseudonym if the nights have a pseudonym key"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column("alcohol_line_count", COUNT, "receipt lines with alcohol, including voids"),
        column("alcohol_quantity", QUANTITY_SUM, "units of alcohol, minus voids"),
        column("alcohol_net_amount", AMOUNT_SUM, "amount paid for alcohol, minus voids"),
        column("currency", TEXT, "currency of the alcohol lines"),
        column(
            "id_check", TEXT, "logged ID check of the sale: refused_sale, shown or not_asked; null if none is logged"
        ),
        column("estimate_status", TEXT, "estimated, no_photo or no_usable_photo"),
        *AGE_COLUMNS,
        column(
            "under_18_probability",
            PROBABILITY,
            "P(age under 18), corrected for the ages of the day's alcohol buyers (age_mixes); transaction_ages has the "
            "probability from the photos alone",
        ),
        column("under_25_probability", PROBABILITY, "P(age under 25), corrected in the same way"),
        LEGAL_PURCHASE_AGE_YEARS,
        UNDER_LEGAL_AGE_PROBABILITY,
        column(
            "challenge_age_years",
            pa.int32(),
            "the setting that applied: a cashier asks everyone who looks younger for an ID",
        ),
        UNDER_CHALLENGE_AGE_PROBABILITY,
        column(
            "audit_status",
            TEXT,
            "sale_refused, sale_voided, id_shown, no_estimate, check_not_logged, clearly_adult, "
            "challenge_age_unchecked or possibly_under_age_unchecked: a reason to look, never a verdict. Not all rows "
            "of a status are right about the age. The expected share of right rows is, for "
            "possibly_under_age_unchecked, the mean of their under_legal_age_probability; for challenge_age_unchecked "
            "and check_not_logged, the mean of their under_challenge_age_probability; for clearly_adult, 1 minus that "
            "mean. A cashier sees more than a photo shows, so buyers who were not asked may be older than that",
        ),
        column("audit_reason", TEXT, "why the sale has this status, in words and figures"),
        CASE_ID,
        MODEL_VERSION,
        RUN_ID,
    ),
)

ALCOHOL_REVIEW_CASES = Table(
    name="alcohol_review_cases",
    grain="one row per alcohol sale that a person should look at, likeliest under age first; it does not say who "
    "the cashier was",
    key=("case_id",),
    columns=(
        CASE_ID,
        column(
            "review_rank", COUNT, "place on the day's list, from 1: the sale with the highest P(under the legal age)"
        ),
        column("store_id", TEXT, "store that rang up the sale"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column(
            "photo_keys",
            pa.list_(TEXT),
            "keys of the buyer's photos under the landing URI, oldest first. Show reviewers the photo and not the key, "
            "because the key names the till",
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
    grain="one row per store and cashier with an alcohol sale line; counts and sums may be added up over days",
    key=("store_id", "cashier_id"),
    columns=(
        column("store_id", TEXT, "store that rang up the sales"),
        column("cashier_id", TEXT, "cashier at the till; a pseudonym if the nights have a pseudonym key"),
        column("sale_count", COUNT, "alcohol sales that were paid for, without refused and voided sales"),
        column("refused_count", COUNT, "sales that the cashier refused"),
        column("voided_count", COUNT, "sales with all alcohol voided before payment, without refused sales"),
        column("estimated_sale_count", COUNT, "sales of sale_count with an age estimate of the buyer"),
        column(
            "check_not_logged_count",
            COUNT,
            "sales of sale_count at tills that log no ID check; they count neither as asked nor as not asked",
        ),
        column(
            "under_legal_age_count",
            EXPECTED,
            "expected number of buyers under the legal age in estimated_sale_count: the sum of their probabilities p",
        ),
        column("under_legal_age_variance", EXPECTED, "variance of that number: the sum of p(1-p)"),
        column(
            "under_challenge_age_count",
            EXPECTED,
            "expected number of buyers under the challenge age in estimated_sale_count",
        ),
        column("under_challenge_age_variance", EXPECTED, "variance of that number"),
        column(
            "under_legal_age_unchecked_count",
            EXPECTED,
            "expected number of buyers under the legal age who were not asked for an ID",
        ),
        column("under_legal_age_unchecked_variance", EXPECTED, "variance of that number"),
        column(
            "asked_count",
            EXPECTED,
            "expected number of buyers under the challenge age who were asked for an ID, including refused sales",
        ),
        column("asked_variance", EXPECTED, "variance of that number"),
        column(
            "not_asked_count",
            EXPECTED,
            "expected number of buyers under the challenge age who were not asked for an ID",
        ),
        column("not_asked_variance", EXPECTED, "variance of that number"),
        column(
            "strata",
            STRATA,
            "the sales behind asked_count and not_asked_count, in groups of one till_id, hour (in the stores' time "
            "zone) and probability_band: the lower end, in percent, of a band of P(under the challenge age). Each "
            "group has case_count, its sales; asked_count, those with an ID asked for; and "
            "under_challenge_age_count, its expected buyers under that age. Null without such sales",
        ),
        MODEL_VERSION,
        RUN_ID,
    ),
)

CASHIER_ALCOHOL_AUDIT = Table(
    name="cashier_alcohol_audit",
    grain="one row per store and cashier with an alcohol sale line in the window that ends on business_date; "
    "no row says that anyone did wrong",
    key=("store_id", "cashier_id"),
    columns=(
        column("store_id", TEXT, "store that rang up the sales"),
        column("cashier_id", TEXT, "cashier at the till; a pseudonym if the nights have a pseudonym key"),
        WINDOW_FIRST_DATE,
        column("day_count", COUNT, "days of the window that are published"),
        column("sale_count", COUNT, "alcohol sales that were paid for, without refused and voided sales"),
        column("refused_count", COUNT, "sales that the cashier refused"),
        column("estimated_sale_count", COUNT, "sales of sale_count with an age estimate of the buyer"),
        column(
            "check_not_logged_count",
            COUNT,
            "sales of sale_count at tills that log no ID check; they count neither as asked nor as not asked",
        ),
        column(
            "under_legal_age_unchecked_count",
            EXPECTED,
            "expected number of buyers under the legal age who were not asked for an ID. It is a sum of probabilities, "
            "to which many buyers who surely were of age add a little each",
        ),
        column("under_legal_age_unchecked_count_low", EXPECTED, "lower end of the 90 % interval of that number"),
        column("under_legal_age_unchecked_count_high", EXPECTED, "upper end of the 90 % interval of that number"),
        column(
            "asked_count",
            EXPECTED,
            "expected number of buyers under the challenge age who were asked for an ID, including refused sales",
        ),
        column(
            "not_asked_count",
            EXPECTED,
            "expected number of buyers under the challenge age who were not asked for an ID",
        ),
        column(
            "compared_count",
            EXPECTED,
            "the part of asked_count and not_asked_count that can be compared: another cashier served buyers who "
            "looked as young, at the same till in the same two hours",
        ),
        column(
            "compared_asked_share",
            PROBABILITY,
            "share of the compared sales in which the cashier asked for an ID; null without any",
        ),
        column(
            "expected_asked_share",
            PROBABILITY,
            "share expected if the other cashiers of the same store, till and two hours had served the same buyers; "
            "compared_asked_share is compared with it; null without any",
        ),
        column(
            "asked_share_difference",
            pa.float64(),
            "estimate of how much more often this cashier asks buyers under the challenge age for an ID than "
            "colleagues do (negative: less often). Larger than the difference of the two shares, because those include "
            "older buyers. Null when it cannot be judged",
        ),
        column("asked_share_difference_low", pa.float64(), "lower end of the 90 % interval of that difference"),
        column("asked_share_difference_high", pa.float64(), "upper end of the 90 % interval of that difference"),
        column(
            "between_cashiers_deviation",
            pa.float64(),
            "standard deviation, beyond chance, of asked_share_difference over all cashiers of this window. Habits "
            "differ by so much without anyone's fault, and p_value allows for it. 0 if fewer than 20 cashiers are "
            "judged",
        ),
        column(
            "p_value",
            PROBABILITY,
            "probability that chance alone gives so few asked buyers, if the cashier asks as the others do; null if "
            "there are too few sales to judge",
        ),
        column(
            "q_value",
            PROBABILITY,
            "at most this share of the cashiers with this q_value or a lower one is expected to be there by chance",
        ),
        column(
            "review_priority",
            COUNT,
            "order in which a person should look at cashiers' sales, from 1; null if there is no reason to look, or "
            "too few sales to judge. A reason to look, never a verdict",
        ),
        column("review_reason", TEXT, "why there is a priority or none, in words and figures"),
        column("model_versions", pa.list_(TEXT), "versions of the age model that the window's nights used"),
        NIGHT_RUN_IDS,
        WINDOW_RUN_ID,
    ),
)

REVIEWED_CASES = Table(
    name="reviewed_cases",
    grain="one row per outcome that reviewers delivered for cases of the window that ends on business_date",
    key=("source_file", "line_in_file"),
    columns=(
        *FILE_LINE_COLUMNS,
        column("case_business_date", pa.date32(), "business date of the cases that the file is about, from its folder"),
        column("case_id", TEXT, "case in alcohol_review_cases of that date"),
        column("reviewed_at", INSTANT, "when the reviewer judged, UTC"),
        column(
            "reviewer_outcome",
            TEXT,
            "how old the reviewer found the buyer: under_age (under the legal age), of_age, cannot_tell, or "
            "wrong_photo (not of the buyer); null if the delivered value is none of these",
        ),
        column(
            "outcome_status",
            TEXT,
            "counted, replaced (a later outcome of the case counts), not_listed (no such case on the day's list as "
            "it is published now) or rejected (breaks the landing contract)",
        ),
        column("outcome_reason", TEXT, "why the outcome does not count, in words; null if it counts"),
        column("landed_line", TEXT, "the delivered record, as JSON or text"),
        column("review_rank", COUNT, "place of the case on the day's list; null if it is not listed"),
        column(
            "under_legal_age_probability",
            PROBABILITY,
            "P(age under the legal age) of the case; null if it is not listed",
        ),
        column("model_version", TEXT, "version of the age model that listed the case; null if it is not listed"),
        column("case_run_id", TEXT, "run of the night that listed the case; null if it is not listed"),
        WINDOW_RUN_ID,
    ),
)

REVIEW_PRECISION = Table(
    name="review_precision",
    grain="one row per age model and band of P(under the legal age), and one row for all bands, over the cases listed "
    "in the window that ends on business_date",
    key=("model_version", "probability_band"),
    columns=(
        column("model_version", TEXT, "version of the age model that listed the cases"),
        column(
            "probability_band",
            TEXT,
            "band of under_legal_age_probability, such as 0.3-0.4, which does not contain 0.4; or all",
        ),
        WINDOW_FIRST_DATE,
        column("listed_case_count", COUNT, "cases on the days' lists"),
        column("reviewed_case_count", COUNT, "listed cases with an outcome that counts"),
        column("cannot_tell_case_count", COUNT, "reviewed cases in which the reviewer could not tell the age"),
        column("wrong_photo_case_count", COUNT, "reviewed cases in which the photo does not show the buyer"),
        column("judged_case_count", COUNT, "reviewed cases that were found under_age or of_age"),
        column("under_age_case_count", COUNT, "judged cases that were found under_age"),
        column("precision", PROBABILITY, "under_age_case_count over judged_case_count; null without judged cases"),
        column("precision_low", PROBABILITY, "lower end of the 90 % interval of the precision (Jeffreys)"),
        column("precision_high", PROBABILITY, "upper end of the 90 % interval of the precision"),
        column("expected_under_age_case_count", EXPECTED, "sum of under_legal_age_probability over the judged cases"),
        column(
            "expected_precision",
            PROBABILITY,
            "expected_under_age_case_count over judged_case_count: the precision should be near it",
        ),
        column(
            "calibration_p_value",
            PROBABILITY,
            "probability of an under_age_case_count at least so far from the expected one, up or down, if the judged "
            "cases' probabilities are right; a small value says that under_legal_age_probability is off",
        ),
        column("precision_reason", TEXT, "why there is no precision, in words; null if there is one"),
        NIGHT_RUN_IDS,
        WINDOW_RUN_ID,
    ),
)
