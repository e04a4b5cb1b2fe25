"""landed: schemas of tables about deliveries: photos, their estimates, kept and rejected receipt lines, coverage."""

from __future__ import annotations

import pyarrow as pa

from jobs.schemas.table import (
    AMOUNT,
    COUNT,
    DISTRIBUTION,
    ESTIMATE_COLUMNS,
    FILE_LINE_COLUMNS,
    INFERENCE_ENGINE,
    INSTANT,
    MODEL_VERSION,
    QUANTITY,
    REASON_COUNTS,
    RUN_ID,
    TEXT,
    TRANSACTION_KEY,
    TRANSACTION_KEY_COLUMNS,
    Table,
    column,
)

CHECKOUT_PHOTOS = Table(
    name="checkout_photos",
    grain="one row per photo that the stores delivered",
    key=("photo_key",),
    columns=(
        column("photo_key", TEXT, "object key under the landing URI"),
        column("etag", TEXT, "the object store's tag of the photo's content, when the photo was listed"),
        column("size_bytes", COUNT, "size of the photo"),
        column("landed_at", INSTANT, "when the photo was last delivered, UTC"),
        column("store_id", TEXT, "store that the photo's key names"),
        column("till_id", TEXT, "till that the photo's key names"),
        column("taken_at", INSTANT, "when the photo was taken, from its key, UTC"),
        column("transaction_id", TEXT, "receipt that the photo's key names; null if the key template has none"),
        column("key_problem", TEXT, "why the photo cannot be used for the day, from its key; null if it can"),
        column("is_other_date", pa.bool_(), "whether the problem is that the photo is of another business date"),
        RUN_ID,
    ),
)

PHOTO_AGE_ESTIMATES = Table(
    name="photo_age_estimates",
    grain="one row per photo that the stores delivered, with an estimate or without",
    key=("photo_key",),
    columns=(
        column("photo_key", TEXT, "object key under the landing URI"),
        column("etag", TEXT, "the object store's tag of the content that was estimated"),
        column(
            "estimate_status",
            TEXT,
            "'estimated', or the kind of reason why not: unreadable_key, missing (no longer there), replaced (by "
            "another object since it was listed), unreadable_object (the object store does not return it), empty, "
            "too_large, too_many_pixels, too_small, not_an_image, unsupported_format, truncated, no_face, "
            "face_too_small, face_too_dark, face_too_bright, face_low_contrast, face_too_blurred, face_distorted",
        ),
        column("estimate_reason", TEXT, "why there is no estimate, in words; null if there is one"),
        *ESTIMATE_COLUMNS,
        column("age_distribution", DISTRIBUTION, "calibrated probability of each year of age, 0 to 100"),
        column(
            "face_count",
            COUNT,
            "number of faces found; the largest one nearest to the middle is estimated; null if none was searched for",
        ),
        column(
            "face_side_pixels", COUNT, "side of the square around that face, in pixels of the photo as taken; or null"
        ),
        column("content_sha256", TEXT, "sha256 of the photo's bytes; null if they were not fetched"),
        MODEL_VERSION,
        INFERENCE_ENGINE,
        column(
            "photo_checks_version",
            pa.int32(),
            "version of the code that decodes photos, finds faces and checks them; estimates of other versions are not "
            "reused",
        ),
        column(
            "photo_stretch", pa.float64(), "the setting that applied: factor by which the photo's height was stretched"
        ),
        column(
            "inferred_run_id",
            TEXT,
            "run that estimated the photo: run_id itself, or an earlier run of the day if its estimate was reused",
        ),
        RUN_ID,
    ),
)

TRANSACTION_LINES = Table(
    name="transaction_lines",
    grain="one row per valid receipt line, as the till logged it",
    key=(*TRANSACTION_KEY, "line_number"),
    columns=(
        *TRANSACTION_KEY_COLUMNS,
        column("line_number", pa.int32(), "number of the line on its receipt"),
        column("cashier_id", TEXT, "cashier at the till; a pseudonym if the nights have a pseudonym key"),
        column("opened_at", INSTANT, "when the receipt was opened, UTC; null if the till does not log it"),
        column("closed_at", INSTANT, "when the receipt was paid, UTC"),
        column("line_type", TEXT, "sale, return or void"),
        column("sku", TEXT, "the article's number"),
        column("product_category", TEXT, "category of the article"),
        column("quantity", QUANTITY, "units or weight; negative for returns and voids"),
        column("net_amount", AMOUNT, "price paid; negative for returns and voids"),
        column("currency", TEXT, "currency of net_amount"),
        column("is_alcohol", pa.bool_(), "whether the article is alcohol, which needs a buyer of legal age"),
        column("id_check", TEXT, "logged ID check: shown, refused_sale or not_asked; null if the till does not log it"),
        RUN_ID,
    ),
)

REJECTED_TRANSACTION_LINES = Table(
    name="rejected_transaction_lines",
    grain="one row per receipt line that breaks the landing contract",
    key=("source_file", "line_in_file"),
    columns=(
        *FILE_LINE_COLUMNS,
        column("rejection_reason", TEXT, "what is wrong, in words"),
        column("rejection_kind", TEXT, "the reason without the line's values, so that equal faults can be counted"),
        column("is_other_date", pa.bool_(), "whether the line is of another business date"),
        column("is_repeat", pa.bool_(), "whether the line is equal to an earlier line of the day"),
        column(
            "landed_line",
            TEXT,
            "the delivered record, as JSON or text; the cashier is a pseudonym if the nights have a pseudonym key",
        ),
        RUN_ID,
    ),
)

PHOTO_COVERAGE = Table(
    name="photo_coverage",
    grain="one row per store, till and hour with transactions or photos",
    key=("store_id", "till_id", "hour"),
    columns=(
        column("store_id", TEXT, "store; 'unknown' for photos with a key that does not name it"),
        column("till_id", TEXT, "till in the store; 'unknown' for photos with a key that does not name it"),
        column(
            "hour",
            pa.int32(),
            "hour of the day in the stores' time zone, 0 to 23, in which a transaction was paid or a photo taken; "
            "-1 for photos with a key that does not tell it",
        ),
        column("transaction_count", COUNT, "transactions paid in the hour"),
        column("with_photo_count", COUNT, "transactions with a photo"),
        column(
            "with_usable_face_count", COUNT, "transactions with an age estimate, from which estimated_ columns are made"
        ),
        column("photo_count", COUNT, "photos taken in the hour"),
        column("usable_photo_count", COUNT, "photos with an age estimate"),
        column("matched_photo_count", COUNT, "photos that belong to a transaction"),
        column("unmatched_photo_count", COUNT, "photos that belong to no transaction"),
        column("reasons", REASON_COUNTS, "transactions without an age estimate, by estimate_status"),
        column("unusable_photo_reasons", REASON_COUNTS, "photos without an age estimate, by estimate_status"),
        MODEL_VERSION,
        RUN_ID,
    ),
)
