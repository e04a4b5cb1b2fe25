"""buyers: schemas of tables about buyers: ages of transactions, mixes of ages, purchases and affinity by age group."""

from __future__ import annotations

import pyarrow as pa

from jobs.schemas.table import (
    AMOUNT_SUM,
    COUNT,
    DISTRIBUTION,
    ESTIMATE,
    ESTIMATE_COLUMNS,
    INSTANT,
    MODEL_VERSION,
    PROBABILITY,
    QUANTITY_SUM,
    RESAMPLED_DISTRIBUTIONS,
    RUN_ID,
    TEXT,
    TRANSACTION_KEY,
    TRANSACTION_KEY_COLUMNS,
    Table,
    _estimated_columns,
    column,
)

UNKNOWN, SUPPRESSED = "unknown", "suppressed"
"""Age groups that are no age band: buyers without an estimate, and bands too small to be shown."""

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
            "the setting that applied: seconds by which the till's clock runs ahead of its camera's. Matching moves "
            "the span back by them",
        ),
        column("photo_keys", pa.list_(TEXT), "photos matched to the transaction, oldest first"),
        column("photo_count", COUNT, "matched photos, including each photo of a burst"),
        column("usable_photo_count", COUNT, "matched photos with an estimate"),
        column(
            "photo_offset_seconds",
            pa.float64(),
            "seconds from the latest photo to closed_at, minus till_clock_skew_seconds; negative only if the photo's "
            "key names the transaction; null without a photo",
        ),
        column("estimate_status", TEXT, "estimated, no_photo or no_usable_photo"),
        column("estimate_reason", TEXT, "why there is no estimate, in words; null if there is one"),
        *ESTIMATE_COLUMNS,
        column("age_group", TEXT, "age group that contains estimated_age_years, or 'unknown'"),
        column(
            "age_distribution",
            DISTRIBUTION,
            "calibrated probability of each year of age, 0 to 100: the mean over the usable photos, where a burst "
            "counts as one photo",
        ),
        MODEL_VERSION,
        RUN_ID,
    ),
)

AGE_MIXES = Table(
    name="age_mixes",
    grain="one row per circle, a group of buyers, that has a transaction with an age estimate",
    key=("circle", "product_category"),
    columns=(
        column(
            "circle",
            TEXT,
            "the group of buyers: 'all' of the day, buyers of 'alcohol' (with a sale line of it), or buyers of a "
            "'product_category'",
        ),
        column("product_category", TEXT, "the category; '' for the circles all and alcohol"),
        column("transaction_count", COUNT, "transactions of the circle with an age estimate"),
        column(
            "estimated_age_distribution",
            DISTRIBUTION,
            "fitted share of each year of age, 0 to 100, with which estimates of single buyers are corrected; the "
            "shares of a small circle are drawn towards those of all buyers",
        ),
        column(
            "estimated_age_shares",
            DISTRIBUTION,
            "share of each year of age among the circle's buyers of the day: the mean of their corrected estimates",
        ),
        column(
            "resampled_age_distributions",
            RESAMPLED_DISTRIBUTIONS,
            "other fits of estimated_age_distribution that are as probable, from which intervals are computed",
        ),
        column("resampled_age_shares", RESAMPLED_DISTRIBUTIONS, "estimated_age_shares under each of those fits"),
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
            "age group; 'unknown' for buyers without an estimate; 'suppressed' for groups with fewer transactions than "
            "the setting minimum_cell_count",
        ),
        column("product_category", TEXT, "category of the articles"),
        column("currency", TEXT, "currency of net_amount"),
        column(
            "transaction_count",
            COUNT,
            "receipts with the category and with estimated_age_years in the age group; a receipt counts once in each "
            "of its categories",
        ),
        column("line_count", COUNT, "receipt lines of the category on those receipts"),
        column("quantity", QUANTITY_SUM, "sum of quantity, minus returns and voids"),
        column(
            "net_amount", AMOUNT_SUM, "sum of net_amount, minus returns and voids; age groups add up to the tills' log"
        ),
        *_estimated_columns(
            "transaction_count",
            "receipts with the category, each counted with the probability that its buyer is in the age group",
        ),
        *_estimated_columns("quantity", "quantity on those receipts, weighted with the same probabilities"),
        *_estimated_columns(
            "net_amount",
            "net_amount on those receipts, weighted with the same probabilities; age groups add up to the tills' log",
        ),
        column("suppression_reason", TEXT, "why age groups are counted together as 'suppressed'; null otherwise"),
        MODEL_VERSION,
        RUN_ID,
    ),
)

AGE_GROUP_AFFINITY = Table(
    name="age_group_affinity",
    grain="one row per age group and product category, over all stores and buyers with an age estimate",
    key=("age_group", "product_category"),
    columns=(
        column("age_group", TEXT, "age group of the buyers"),
        column("product_category", TEXT, "category of the articles"),
        column(
            "estimated_group_transaction_count",
            ESTIMATE,
            "transactions of the age group: the sum of each buyer's probability to be in it",
        ),
        column(
            "estimated_category_transaction_count",
            ESTIMATE,
            "transactions of the age group that contain the category; null if fewer than the setting "
            "minimum_cell_count",
        ),
        column("transaction_count", COUNT, "transactions of all age groups with the category"),
        column("estimated_group_share", PROBABILITY, "share of the age group's transactions that contain the category"),
        column("all_buyers_share", PROBABILITY, "share of all buyers' transactions that contain the category"),
        column(
            "affinity_index",
            ESTIMATE,
            "estimated_group_share over all_buyers_share: 2 is twice as often as all buyers; null if affinity_reason "
            "says why",
        ),
        column("affinity_index_low", ESTIMATE, "lower end of the 90 % interval of affinity_index"),
        column(
            "affinity_index_high",
            ESTIMATE,
            "upper end of that interval; if the interval contains 1, the group may buy as often as all buyers",
        ),
        column("affinity_reason", TEXT, "why there is no index, in words; null if there is one"),
        MODEL_VERSION,
        RUN_ID,
    ),
)
