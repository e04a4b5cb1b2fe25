"""buyers: tables of who buys what: ages of transactions, mixes of ages, purchases and affinity by age group."""

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
        *_estimated_columns("quantity", "quantity of those receipts, weighted in the same way"),
        *_estimated_columns(
            "net_amount", "net_amount of those receipts, weighted in the same way; groups add up to the log"
        ),
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
