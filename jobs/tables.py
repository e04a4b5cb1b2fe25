"""tables: every table's grain, key, columns and their meaning. README and data dictionary are rendered from here."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pyarrow as pa

TEXT = pa.string()
COUNT = pa.int64()
YEARS = pa.float64()
EXPECTED = pa.float64()
PROBABILITY = pa.float64()
ESTIMATE = pa.float64()
INSTANT = pa.timestamp("us", tz="UTC")
QUANTITY = pa.decimal128(18, 3)
AMOUNT = pa.decimal128(18, 2)
QUANTITY_SUM = pa.decimal128(28, 3)
AMOUNT_SUM = pa.decimal128(28, 2)
DISTRIBUTION = pa.list_(pa.float32())
RESAMPLED_DISTRIBUTIONS = pa.list_(DISTRIBUTION)
REASON_COUNTS = pa.map_(TEXT, COUNT)
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


@dataclass(frozen=True)
class Table:
    """A table: its name, what one row is, what makes a row unique, and what each column means."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[pa.Field, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with column meanings in the field metadata. All columns may be null to a reader."""
        return pa.schema(self.columns, metadata={"table": self.name, "grain": self.grain, "key": ",".join(self.key)})

    @property
    def column_names(self) -> list[str]:
        """The column names in order."""
        return [field.name for field in self.columns]


def column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    """Describe one column."""
    return pa.field(name, kind, metadata={"meaning": meaning})


def meaning(field: pa.Field) -> str:
    """Return what a column means."""
    words: bytes = (field.metadata or {}).get(b"meaning", b"")
    return words.decode()


def _estimated_columns(name: str, words: str) -> tuple[pa.Field, ...]:
    """Describe an estimate and the ends of its interval."""
    return (
        column(f"estimated_{name}", ESTIMATE, words),
        column(f"estimated_{name}_low", ESTIMATE, "lower end of its 90 % interval; null where bands are suppressed"),
        column(f"estimated_{name}_high", ESTIMATE, "upper end of it"),
    )


BUSINESS_DATE = column(
    "business_date", pa.date32(), "the stores' day that the row is of; of a window, its last day; the partition"
)
"""Of every table: in the name of the folder, not in the file."""
RUN_ID = column("run_id", TEXT, "night run that wrote the row; join tables of one day on it too")
MODEL_VERSION = column("model_version", TEXT, "age model that the run used")
INFERENCE_ENGINE = column("inference_engine", TEXT, "what ran the age model: openvino or tensorflow")
TRANSACTION_KEY = ("store_id", "till_id", "transaction_id")
TRANSACTION_KEY_COLUMNS = (
    column("store_id", TEXT, "store that rang up the sale"),
    column("till_id", TEXT, "till in the store"),
    column("transaction_id", TEXT, "receipt, unique within the till"),
)
AGE_COLUMNS = (
    column("estimated_age_years", YEARS, "an estimate, with an error of about five years"),
    column("estimated_age_low_years", YEARS, "lower end of the 90 % interval of the age"),
    column("estimated_age_high_years", YEARS, "upper end of the 90 % interval of the age"),
)
ESTIMATE_COLUMNS = (
    *AGE_COLUMNS,
    column("under_18_probability", PROBABILITY, "calibrated estimate of P(age under 18)"),
)
LEGAL_PURCHASE_AGE_YEARS = column("legal_purchase_age_years", pa.int32(), "policy: youngest lawful buyer")
UNDER_LEGAL_AGE_PROBABILITY = column(
    "under_legal_age_probability",
    PROBABILITY,
    "P(age under the legal age), corrected for the ages of the day's alcohol buyers; photos do not show a step in "
    "these ages, so that it is too high where far fewer buy just under the legal age than just over it",
)
UNDER_CHALLENGE_AGE_PROBABILITY = column(
    "under_challenge_age_probability", PROBABILITY, "P(age under the challenge age), corrected likewise"
)
CASE_ID = column("case_id", TEXT, "what a reviewer knows the sale by: a hash of its date and key, in each run the same")

CHECKOUT_PHOTOS = Table(
    name="checkout_photos",
    grain="one row per photo object landed",
    key=("photo_key",),
    columns=(
        column("photo_key", TEXT, "object key under the landing URI"),
        column("etag", TEXT, "content tag of the object when it was listed"),
        column("size_bytes", COUNT, "size of the object"),
        column("landed_at", INSTANT, "when the object was last written, UTC"),
        column("store_id", TEXT, "store, from the key"),
        column("till_id", TEXT, "till, from the key"),
        column("taken_at", INSTANT, "when the photo was taken, from the key, UTC"),
        column("transaction_id", TEXT, "receipt, where the key template carries it"),
        column("key_problem", TEXT, "why the key places the photo nowhere in the day, else null"),
        column("is_other_date", pa.bool_(), "whether that is because the photo is of another business date"),
        RUN_ID,
    ),
)

PHOTO_AGE_ESTIMATES = Table(
    name="photo_age_estimates",
    grain="one row per photo landed, whether it could be estimated or not",
    key=("photo_key",),
    columns=(
        column("photo_key", TEXT, "object key under the landing URI"),
        column("etag", TEXT, "content tag of the object that was estimated"),
        column(
            "estimate_status",
            TEXT,
            "'estimated', or the kind of reason why not: unreadable_key, missing (no longer there), replaced (by "
            "another object since it was listed), unreadable_object (the store does not hand it out), empty, "
            "too_large, too_many_pixels, too_small, not_an_image, unsupported_format, truncated, no_face, "
            "face_too_small, face_too_dark, face_too_bright, face_low_contrast, face_too_blurred, face_distorted",
        ),
        column("estimate_reason", TEXT, "why there is no estimate, in words, else null"),
        *ESTIMATE_COLUMNS,
        column("age_distribution", DISTRIBUTION, "calibrated probability of each year of age, 0 to 100"),
        column("face_count", COUNT, "faces found; the estimate is of the largest and nearest to the middle; else null"),
        column("face_side_pixels", COUNT, "side of the square around that face in the photo as taken, else null"),
        column("content_sha256", TEXT, "hash of the photo's bytes, else null"),
        MODEL_VERSION,
        INFERENCE_ENGINE,
        column(
            "photo_checks_version",
            pa.int32(),
            "version of decoding, face finding and photo checks; an estimate of another version is not reused",
        ),
        column("photo_stretch", pa.float64(), "factor by which the photo's height was stretched against its width"),
        column(
            "inferred_run_id",
            TEXT,
            "night run that looked at the photo: run_id, or an earlier run of the day whose estimate was taken over",
        ),
        RUN_ID,
    ),
)

TRANSACTION_LINES = Table(
    name="transaction_lines",
    grain="one row per valid receipt line, as logged",
    key=(*TRANSACTION_KEY, "line_number"),
    columns=(
        *TRANSACTION_KEY_COLUMNS,
        column("line_number", pa.int32(), "line of the receipt"),
        column("cashier_id", TEXT, "who was at the till; a pseudonym where there is a key for them"),
        column("opened_at", INSTANT, "when the receipt was begun, UTC; null where the till does not log it"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column("line_type", TEXT, "sale, return or void"),
        column("sku", TEXT, "article"),
        column("product_category", TEXT, "category of the article"),
        column("quantity", QUANTITY, "units or weight, signed"),
        column("net_amount", AMOUNT, "price paid, signed"),
        column("currency", TEXT, "currency of net_amount"),
        column("is_alcohol", pa.bool_(), "whether the article may not be sold to the under-aged"),
        column("id_check", TEXT, "shown, refused_sale, not_asked; null where the till does not log it"),
        RUN_ID,
    ),
)

REJECTED_TRANSACTION_LINES = Table(
    name="rejected_transaction_lines",
    grain="one row per receipt line that breaks the landing contract",
    key=("source_file", "line_in_file"),
    columns=(
        column("source_file", TEXT, "object key of the file under the landing URI"),
        column(
            "line_in_file",
            COUNT,
            "line of the file, from 1 (a CSV's header), or row of a Parquet file; 0 for the file as a whole",
        ),
        column("rejection_reason", TEXT, "what is wrong, in words"),
        column("rejection_kind", TEXT, "the same without the values of the line, to count by"),
        column("is_other_date", pa.bool_(), "whether the line is of another business date"),
        column("is_repeat", pa.bool_(), "whether the line is the same as an earlier one of the day"),
        column(
            "landed_line",
            TEXT,
            "the record as it came, as JSON or text, but with a pseudonym where there is a key for them",
        ),
        RUN_ID,
    ),
)

TRANSACTION_AGES = Table(
    name="transaction_ages",
    grain="one row per transaction with at least one valid line",
    key=TRANSACTION_KEY,
    columns=(
        *TRANSACTION_KEY_COLUMNS,
        column("opened_at", INSTANT, "start of the span in which the buyer stood at the till, UTC"),
        column("closed_at", INSTANT, "end of that span, UTC"),
        column(
            "till_clock_skew_seconds",
            pa.float64(),
            "policy: how far the till's clock was taken to run ahead of its camera's; matching took it off the span",
        ),
        column("photo_keys", pa.list_(TEXT), "photos matched to the transaction, oldest first"),
        column("photo_count", COUNT, "photos matched, each frame of a burst too"),
        column("usable_photo_count", COUNT, "matched photos with an estimate"),
        column(
            "photo_offset_seconds",
            pa.float64(),
            "from the latest photo to closed_at, till_clock_skew_seconds taken off; under 0 only where the photo's key "
            "names the transaction; null without photo",
        ),
        column("estimate_status", TEXT, "estimated, no_photo or no_usable_photo"),
        column("estimate_reason", TEXT, "why there is no estimate, in words, else null"),
        *ESTIMATE_COLUMNS,
        column("age_group", TEXT, "band of estimated_age_years, or 'unknown'"),
        column(
            "age_distribution",
            DISTRIBUTION,
            "calibrated probability of each year of age, 0 to 100: the mean over the usable photos, in which a burst "
            "of photos counts as one",
        ),
        MODEL_VERSION,
        RUN_ID,
    ),
)

AGE_MIXES = Table(
    name="age_mixes",
    grain="one row per circle of buyers who have a transaction with an age estimate",
    key=("circle", "product_category"),
    columns=(
        column(
            "circle",
            TEXT,
            "whose ages: 'all' buyers of the day, those of 'alcohol' (a sale line of it) or those of a "
            "'product_category'",
        ),
        column("product_category", TEXT, "the category; '' for the other two"),
        column("transaction_count", COUNT, "transactions of the circle with an age estimate"),
        column(
            "estimated_age_distribution",
            DISTRIBUTION,
            "share of each year of age, 0 to 100, before a photo is looked at: what estimates of single buyers are "
            "corrected with; that of a small circle is drawn to that of all",
        ),
        column(
            "estimated_age_shares",
            DISTRIBUTION,
            "share of each year of age among the circle's buyers of the day: mean of their corrected estimates",
        ),
        column(
            "resampled_age_distributions",
            RESAMPLED_DISTRIBUTIONS,
            "estimated_age_distribution of resampled transactions and calibrations, for intervals",
        ),
        column("resampled_age_shares", RESAMPLED_DISTRIBUTIONS, "estimated_age_shares of the same resamplings"),
        MODEL_VERSION,
        RUN_ID,
    ),
)

AGE_GROUP_PURCHASES = Table(
    name="age_group_purchases",
    grain="one row per store, age group, product category and currency",
    key=("store_id", "age_group", "product_category", "currency"),
    columns=(
        column("store_id", TEXT, "store that rang up the sale"),
        column(
            "age_group",
            TEXT,
            "band of age; 'unknown' for buyers without an estimate; 'suppressed' for bands under minimum_cell_count",
        ),
        column("product_category", TEXT, "category of the articles"),
        column("currency", TEXT, "currency of net_amount"),
        column(
            "transaction_count",
            COUNT,
            "receipts with the category whose estimated_age_years lies in the band; one receipt counts in each of its "
            "categories",
        ),
        column("line_count", COUNT, "receipt lines of those"),
        column("quantity", QUANTITY_SUM, "sum of quantity, returns and voids taken off"),
        column("net_amount", AMOUNT_SUM, "sum of net_amount, returns and voids taken off; groups add up to the log"),
        *_estimated_columns(
            "transaction_count", "receipts with the category whose buyer is of the band, by probability"
        ),
        *_estimated_columns("quantity", "quantity of those, likewise"),
        *_estimated_columns("net_amount", "net_amount of those, likewise; groups add up to the log"),
        column("suppression_reason", TEXT, "why bands are counted together as 'suppressed', else null"),
        MODEL_VERSION,
        RUN_ID,
    ),
)

AGE_GROUP_AFFINITY = Table(
    name="age_group_affinity",
    grain="one row per age group and product category, over all stores and buyers with an age estimate",
    key=("age_group", "product_category"),
    columns=(
        column("age_group", TEXT, "band of age"),
        column("product_category", TEXT, "category of the articles"),
        column("estimated_group_transaction_count", ESTIMATE, "transactions of the age group, by probability"),
        column(
            "estimated_category_transaction_count",
            ESTIMATE,
            "of those, with the category; null where fewer than minimum_cell_count",
        ),
        column("transaction_count", COUNT, "transactions of all age groups with the category"),
        column("estimated_group_share", PROBABILITY, "share of the group's transactions that hold the category"),
        column("all_buyers_share", PROBABILITY, "share of all buyers' transactions that hold it"),
        column(
            "affinity_index",
            ESTIMATE,
            "estimated_group_share over all_buyers_share: 2 is twice as often as all buyers; null for a reason",
        ),
        column("affinity_index_low", ESTIMATE, "lower end of its 90 % interval"),
        column("affinity_index_high", ESTIMATE, "upper end of its 90 % interval; one that holds 1 says nothing"),
        column("affinity_reason", TEXT, "why there is no index, in words, else null"),
        MODEL_VERSION,
        RUN_ID,
    ),
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
        column("under_25_probability", PROBABILITY, "P(age under 25), corrected likewise"),
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

PHOTO_COVERAGE = Table(
    name="photo_coverage",
    grain="one row per store, till and hour with transactions or photos",
    key=("store_id", "till_id", "hour"),
    columns=(
        column("store_id", TEXT, "store; 'unknown' for photos whose key does not say it"),
        column("till_id", TEXT, "till in the store; 'unknown' likewise"),
        column(
            "hour",
            pa.int32(),
            "hour of the day in the stores' time zone, 0 to 23, in which a transaction was paid or a photo taken; "
            "-1 for photos whose key does not say it",
        ),
        column("transaction_count", COUNT, "transactions"),
        column("with_photo_count", COUNT, "of those, with a photo: over transaction_count, the share photographed"),
        column("with_usable_face_count", COUNT, "of those, with an age estimate: what estimated_ columns rest on"),
        column("photo_count", COUNT, "photos landed"),
        column("usable_photo_count", COUNT, "of those, with an age estimate"),
        column("matched_photo_count", COUNT, "photos that belong to a transaction"),
        column("unmatched_photo_count", COUNT, "photos without a transaction; with the matched ones, photo_count"),
        column("reasons", REASON_COUNTS, "transactions without an age estimate, by estimate_status"),
        column("unusable_photo_reasons", REASON_COUNTS, "photos without an age estimate, by estimate_status"),
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
        column("under_challenge_age_count", EXPECTED, "likewise, expected buyers under the challenge age"),
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

CHECK_RESULTS = Table(
    name="check_results",
    grain="one row per rule of check_night; a run whose night failed leaves its own in its staging folder",
    key=("rule",),
    columns=(
        column("rule", TEXT, "the rule, as a sentence that holds on a sound night"),
        column("severity", TEXT, "fail: a night that breaks it is not published; warn: it is, and says so"),
        column("is_broken", pa.bool_(), "whether the night breaks the rule; null where the rule was not run"),
        column("findings", pa.list_(TEXT), "a sentence for each thing that is wrong"),
        column("not_run_reason", TEXT, "why the rule was not run, else null"),
        column("measured_value", pa.float64(), "the figure that the rule judges, where it judges one"),
        column("limit_value", pa.float64(), "how far that figure may go, a setting"),
        RUN_ID,
    ),
)

PIPELINE_RUNS = Table(
    name="pipeline_runs",
    grain="one row per published night run, written last: the commit mark of the run",
    key=("run_id",),
    columns=(
        RUN_ID,
        column("published_at", INSTANT, "when the run's tables had all been published, UTC"),
        MODEL_VERSION,
        INFERENCE_ENGINE,
        column("landed_photo_count", COUNT, "photos landed"),
        column("estimated_photo_count", COUNT, "photos with an age estimate"),
        column("taken_over_photo_count", COUNT, "photos whose row was taken over from an earlier run of the day"),
        column("inferred_photo_count", COUNT, "different photos, by content, that the run itself searched for a face"),
        column("inferred_photos_per_second", pa.float64(), "those over the seconds of photo_age_estimates; else null"),
        column("accepted_line_count", COUNT, "receipt lines in transaction_lines"),
        column("rejected_line_count", COUNT, "lines in rejected_transaction_lines; a file as a whole is none"),
        column(
            "erased_line_count",
            COUNT,
            "receipt lines of people who were erased: with the accepted and rejected ones, those that landed",
        ),
        column("erased_photo_count", COUNT, "photos of people who were erased, gone from the landing too"),
        column("transaction_count", COUNT, "transactions"),
        column("estimated_transaction_count", COUNT, "transactions with an age estimate"),
        column("photographed_transaction_count", COUNT, "transactions with a photo"),
        column("mean_estimated_age_years", YEARS, "mean over transactions with an age estimate; else null"),
        column("mean_under_18_probability", PROBABILITY, "mean over transactions with an age estimate; else null"),
        column("net_amount", AMOUNT_SUM, "sum of net_amount of the accepted lines, all currencies"),
        column("input_digest", TEXT, "sha256 over keys and content tags of the photos and receipt files"),
        column("previous_run_id", TEXT, "last run that had published this date, null when none had"),
        column(
            "changed_tables",
            pa.list_(TEXT),
            "tables of the day whose rows say something else than those of previous_run_id; null when there was none",
        ),
        column(
            "table_digests",
            pa.map_(TEXT, TEXT),
            "sha256 of each table's rows without run_id and inferred_run_id: equal ones say the same",
        ),
        column("warnings", pa.list_(TEXT), "warn rules that fired"),
        column("table_seconds", pa.map_(TEXT, pa.float64()), "seconds that building each table took"),
        column(
            "table_tries",
            pa.map_(TEXT, COUNT),
            "try of the task that built each table, 1 the first, by Airflow; empty where `checkout-ages` ran the night",
        ),
    ),
)

RETENTION_RUNS = Table(
    name="retention_runs",
    grain="one row per business date and run of `checkout-ages retain` that deleted photos of it from the landing",
    key=("run_id",),
    columns=(
        column("run_id", TEXT, "run of `checkout-ages retain`, named by the date that it counted back from"),
        column("deleted_at", INSTANT, "when the last of them was deleted, UTC"),
        column("deleted_photo_count", COUNT, "photos deleted, and whatever else lay in the day's folder of photos"),
        column("deleted_bytes", COUNT, "their size"),
        column("photo_retention_days", COUNT, "policy: for how many days photos are kept"),
    ),
)

NIGHT_TABLES = (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    TRANSACTION_LINES,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_AGES,
    AGE_MIXES,
    AGE_GROUP_PURCHASES,
    AGE_GROUP_AFFINITY,
    ALCOHOL_SALE_AUDIT,
    ALCOHOL_REVIEW_CASES,
    PHOTO_COVERAGE,
    CASHIER_ALCOHOL_DAYS,
)
"""What a night builds with Spark, in an order in which each finds its inputs."""

PUBLISHED_TABLES = (*NIGHT_TABLES, CHECK_RESULTS)
"""What publish_night promotes: the night's tables and what check_night found in them."""

ALL_TABLES = (*PUBLISHED_TABLES, PIPELINE_RUNS)

MODEL_COMPARISON = Table(
    name="model_comparison",
    grain="one row per measure and value of a day that `checkout-ages rescore` built again with another model version; "
    "lies in `_rescored/MODEL_VERSION/` of the warehouse, beside that version's own copies of the tables above",
    key=("measure", "value"),
    columns=(
        column(
            "measure",
            TEXT,
            "what is counted: age_group (transactions by age group), audit_status (alcohol transactions by audit "
            "status) or estimate_status (photos by estimate status)",
        ),
        column("value", TEXT, "the age group, audit status or estimate status"),
        column("live_run_id", TEXT, "run that had published the live day"),
        column("live_model_version", TEXT, "age model of that run"),
        column("live_count", COUNT, "transactions or photos of the value in the live tables"),
        column("live_share", PROBABILITY, "those over all of the measure, 0 to 1; null where there is none"),
        column("rescored_model_version", TEXT, "age model of the rescored tables"),
        column("rescored_count", COUNT, "transactions or photos of the value in the rescored tables"),
        column("rescored_share", PROBABILITY, "those over all of the measure, 0 to 1; null where there is none"),
        column("share_shift", pa.float64(), "rescored_share less live_share"),
        column("both_estimated_count", COUNT, "of live_count, how many have an estimate in both"),
        column("mean_age_shift_years", YEARS, "mean over those of the rescored less the live estimate; else null"),
        RUN_ID,
    ),
)

WINDOW_RUN_ID = column("run_id", TEXT, "run of the second DAG that wrote the row")
WINDOW_FIRST_DATE = column("window_first_date", pa.date32(), "first day of the window; business_date is its last")
NIGHT_RUN_IDS = column("run_ids", pa.list_(TEXT), "night runs whose tables the window was made from, by day")

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

WINDOW_TABLES = (CASHIER_ALCOHOL_AUDIT, REVIEWED_CASES, REVIEW_PRECISION)
"""What the second DAG builds from the published days of a window, without Spark."""

WINDOW_RUNS = Table(
    name="window_runs",
    grain="one row per published window, written last: the commit mark of a run of the second DAG",
    key=("run_id",),
    columns=(
        WINDOW_RUN_ID,
        column("published_at", INSTANT, "when the window's tables had all been published, UTC"),
        WINDOW_FIRST_DATE,
        column("warnings", pa.list_(TEXT), "warn rules that fired"),
    ),
)


EVERY_TABLE = (*ALL_TABLES, *WINDOW_TABLES, WINDOW_RUNS, MODEL_COMPARISON, RETENTION_RUNS)
"""All that the data dictionary and the catalogue hold."""


def as_markdown() -> str:
    """Render the data dictionary: each table's grain, key and columns."""
    every = f"Each table has one more column, `{BUSINESS_DATE.name}` ({BUSINESS_DATE.type}): {meaning(BUSINESS_DATE)}."
    return "\n\n".join([every, *map(_table_as_markdown, EVERY_TABLE)])


def as_json() -> str:
    """Render the data dictionary for programs: a list of tables with name, grain, key and columns."""
    return json.dumps([_table_as_object(table) for table in EVERY_TABLE], indent=2, ensure_ascii=False)


def _table_as_object(table: Table) -> dict[str, object]:
    columns = [
        {"name": field.name, "type": str(field.type), "meaning": meaning(field)}
        for field in (BUSINESS_DATE, *table.columns)
    ]
    key = [BUSINESS_DATE.name, *table.key]
    return {"name": table.name, "grain": table.grain, "key": key, "columns": columns}


def _table_as_markdown(table: Table) -> str:
    heading = f"### `{table.name}`\n\n{table.grain}; key: {', '.join(f'`{name}`' for name in table.key)}\n"
    rows = [f"| `{field.name}` | {field.type} | {meaning(field)} |" for field in table.columns]
    return "\n".join([heading, "| column | type | meaning |", "|---|---|---|", *rows])
