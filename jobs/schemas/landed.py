"""landed: tables of what the stores delivered: photos, their estimates, kept and rejected receipt lines, coverage."""

from __future__ import annotations

import pyarrow as pa

from jobs.schemas.table import (
    AMOUNT,
    COUNT,
    DISTRIBUTION,
    ESTIMATE_COLUMNS,
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

PHOTO_COVERAGE = Table(
    name="photo_coverage",
    grain="one row per store, till and hour with transactions or photos",
    key=("store_id", "till_id", "hour"),
    columns=(
        column("store_id", TEXT, "store; 'unknown' for photos whose key does not say it"),
        column("till_id", TEXT, "till in the store; 'unknown' for photos whose key does not say it"),
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
