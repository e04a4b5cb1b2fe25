"""tables: every table's grain, key, columns and their meaning. README and data dictionary are rendered from here."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TEXT = pa.string()
COUNT = pa.int64()
YEARS = pa.float64()
PROBABILITY = pa.float64()
INSTANT = pa.timestamp("us", tz="UTC")
QUANTITY = pa.decimal128(18, 3)
AMOUNT = pa.decimal128(18, 2)
QUANTITY_SUM = pa.decimal128(28, 3)
AMOUNT_SUM = pa.decimal128(28, 2)
DISTRIBUTION = pa.list_(pa.float32())


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


RUN_ID = column("run_id", TEXT, "night run that wrote the row; join tables of one day on it too")
MODEL_VERSION = column("model_version", TEXT, "age model that the run used")
INFERENCE_ENGINE = column("inference_engine", TEXT, "what ran the age model: openvino or tensorflow")
TRANSACTION_KEY = ("store_id", "till_id", "transaction_id")
TRANSACTION_KEY_COLUMNS = (
    column("store_id", TEXT, "store that rang up the sale"),
    column("till_id", TEXT, "till in the store"),
    column("transaction_id", TEXT, "receipt, unique within the till"),
)
ESTIMATE_COLUMNS = (
    column("estimated_age_years", YEARS, "expected age, an estimate with an error of about five years"),
    column("estimated_age_low_years", YEARS, "lower end of the 90 % interval of the age"),
    column("estimated_age_high_years", YEARS, "upper end of the 90 % interval of the age"),
    column("under_18_probability", PROBABILITY, "calibrated estimate of P(age under 18)"),
)

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
        column("key_problem", TEXT, "why the key could not be read, else null"),
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
            "'estimated', or the kind of reason why not: unreadable_key, missing, empty, "
            "too_large, too_many_pixels, too_small, not_an_image, truncated, unreadable_object, no_face, "
            "face_too_small, face_too_blurred",
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
        column("cashier_id", TEXT, "who was at the till"),
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
        column("line_in_file", COUNT, "record of the file, from 1; 0 for the file as a whole"),
        column("rejection_reason", TEXT, "what is wrong, in words"),
        column("landed_line", TEXT, "the record as it came, as JSON or text"),
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

AGE_GROUP_PURCHASES = Table(
    name="age_group_purchases",
    grain="one row per store, age group, product category and currency",
    key=("store_id", "age_group", "product_category", "currency"),
    columns=(
        column("store_id", TEXT, "store that rang up the sale"),
        column("age_group", TEXT, "band of estimated_age_years, or 'unknown'"),
        column("product_category", TEXT, "category of the articles"),
        column("currency", TEXT, "currency of net_amount"),
        column("transaction_count", COUNT, "receipts with the category; one receipt counts in each of its categories"),
        column("line_count", COUNT, "receipt lines"),
        column("quantity", QUANTITY_SUM, "sum of quantity, returns and voids taken off"),
        column("net_amount", AMOUNT_SUM, "sum of net_amount, returns and voids taken off; groups add up to the log"),
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
        column("cashier_id", TEXT, "who was at the till"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column("alcohol_line_count", COUNT, "lines with alcohol, voids included"),
        column("alcohol_quantity", QUANTITY_SUM, "units of alcohol, voids taken off"),
        column("alcohol_net_amount", AMOUNT_SUM, "paid for alcohol, voids taken off"),
        column("currency", TEXT, "currency of the alcohol lines"),
        column("id_check", TEXT, "ID check as logged on the alcohol lines: refused_sale, shown, not_asked or null"),
        column("estimate_status", TEXT, "estimated, no_photo or no_usable_photo"),
        *ESTIMATE_COLUMNS,
        column("legal_purchase_age_years", pa.int32(), "policy: youngest lawful buyer"),
        column("under_legal_age_probability", PROBABILITY, "estimate of P(age under the legal age)"),
        column("challenge_age_years", pa.int32(), "policy: who looks younger is asked for an ID"),
        column("under_challenge_age_probability", PROBABILITY, "estimate of P(age under the challenge age)"),
        column(
            "audit_status",
            TEXT,
            "sale_refused, sale_voided, id_shown, no_estimate, check_not_logged, "
            "clearly_adult, challenge_age_unchecked or possibly_under_age_unchecked: "
            "a reason to look, never a verdict",
        ),
        column("audit_reason", TEXT, "the status in words, with its figures"),
        MODEL_VERSION,
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
        column("rejected_line_count", COUNT, "receipt lines in rejected_transaction_lines"),
        column("transaction_count", COUNT, "transactions"),
        column("estimated_transaction_count", COUNT, "transactions with an age estimate"),
        column("net_amount", AMOUNT_SUM, "sum of net_amount of the accepted lines, all currencies"),
        column("input_digest", TEXT, "sha256 over keys and content tags of the photos and receipt files"),
        column("warnings", pa.list_(TEXT), "warn rules that fired"),
        column("table_seconds", pa.map_(TEXT, pa.float64()), "seconds that building each table took"),
    ),
)

NIGHT_TABLES = (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    TRANSACTION_LINES,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_AGES,
    AGE_GROUP_PURCHASES,
    ALCOHOL_SALE_AUDIT,
)
"""What a night builds with Spark, in an order in which each finds its inputs."""

ALL_TABLES = (*NIGHT_TABLES, PIPELINE_RUNS)

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


def as_markdown() -> str:
    """Render the data dictionary: each table's grain, key and columns."""
    return "\n\n".join(_table_as_markdown(table) for table in (*ALL_TABLES, MODEL_COMPARISON))


def _table_as_markdown(table: Table) -> str:
    heading = f"### `{table.name}`\n\n{table.grain}; key: {', '.join(f'`{name}`' for name in table.key)}\n"
    rows = [f"| `{field.name}` | {field.type} | {meaning(field)} |" for field in table.columns]
    return "\n".join([heading, "| column | type | meaning |", "|---|---|---|", *rows])
