"""runs: schemas of tables about runs: records of runs, results of checks, and the comparison of two age models."""

from __future__ import annotations

import pyarrow as pa

from jobs.schemas.table import (
    AMOUNT_SUM,
    COUNT,
    INFERENCE_ENGINE,
    INSTANT,
    MODEL_VERSION,
    PROBABILITY,
    RUN_ID,
    TEXT,
    WINDOW_FIRST_DATE,
    WINDOW_RUN_ID,
    YEARS,
    Table,
    column,
)

RULE_RESULT_COLUMNS = (
    column("findings", pa.list_(TEXT), "a sentence for each thing that is wrong"),
    column("not_run_reason", TEXT, "why the rule was not run; null if it was"),
    column("measured_value", pa.float64(), "the figure that the rule judges; null if the rule judges no figure"),
    column("limit_value", pa.float64(), "the limit of that figure, which is a setting"),
)

CHECK_RESULTS = Table(
    name="check_results",
    grain="one row per rule of check_night; if the check fails, the rows stay in the run's staging folder",
    key=("rule",),
    columns=(
        column("rule", TEXT, "the rule, as a sentence that is true of a healthy night"),
        column("severity", TEXT, "fail: a night that breaks the rule is not published; warn: it is, with a warning"),
        column("is_broken", pa.bool_(), "whether the night breaks the rule; null where the rule was not run"),
        *RULE_RESULT_COLUMNS,
        RUN_ID,
    ),
)

WINDOW_CHECK_RESULTS = Table(
    name="window_check_results",
    grain="one row per rule of check_window; if the check fails, the rows stay in the run's staging folder",
    key=("rule",),
    columns=(
        column("rule", TEXT, "the rule, as a sentence that is true of a healthy window"),
        column("severity", TEXT, "fail: a window that breaks the rule is not published; warn: it is, with a warning"),
        column("is_broken", pa.bool_(), "whether the window breaks the rule; null where the rule was not run"),
        *RULE_RESULT_COLUMNS,
        WINDOW_RUN_ID,
    ),
)

PIPELINE_RUNS = Table(
    name="pipeline_runs",
    grain="one row per run that published a night; it is written last, as the commit mark of the run",
    key=("run_id",),
    columns=(
        RUN_ID,
        column("published_at", INSTANT, "when the run's tables had all been published, UTC"),
        MODEL_VERSION,
        INFERENCE_ENGINE,
        column("landed_photo_count", COUNT, "photos that the stores delivered"),
        column("estimated_photo_count", COUNT, "photos with an age estimate"),
        column("taken_over_photo_count", COUNT, "photos with an estimate reused from an earlier run of the day"),
        column(
            "inferred_photo_count", COUNT, "photos that the run itself searched for a face; equal photos count once"
        ),
        column(
            "inferred_photos_per_second",
            pa.float64(),
            "inferred_photo_count over the seconds that photo_age_estimates took; null without such photos",
        ),
        column("accepted_line_count", COUNT, "receipt lines in transaction_lines"),
        column(
            "rejected_line_count",
            COUNT,
            "lines in rejected_transaction_lines; its rows about a whole file do not count",
        ),
        column(
            "erased_line_count",
            COUNT,
            "receipt lines of erased people; accepted, rejected and erased lines add up to all delivered lines",
        ),
        column("erased_photo_count", COUNT, "photos of erased people, deleted from the landing too"),
        column("transaction_count", COUNT, "transactions of the day"),
        column("estimated_transaction_count", COUNT, "transactions with an age estimate"),
        column("photographed_transaction_count", COUNT, "transactions with a photo"),
        column("mean_estimated_age_years", YEARS, "mean over transactions with an age estimate; null without any"),
        column(
            "mean_under_18_probability", PROBABILITY, "mean over transactions with an age estimate; null without any"
        ),
        column("net_amount", AMOUNT_SUM, "sum of net_amount of the accepted lines, all currencies"),
        column("input_digest", TEXT, "sha256 over keys and content tags of the photos and receipt files"),
        column("previous_run_id", TEXT, "last run that had published this date; null if none had"),
        column(
            "changed_tables",
            pa.list_(TEXT),
            "tables with other rows than previous_run_id had published for the day; null without a previous run",
        ),
        column(
            "table_digests",
            pa.map_(TEXT, TEXT),
            "sha256 of each table's rows without run_id and inferred_run_id; equal digests mean equal content",
        ),
        column("warnings", pa.list_(TEXT), "sentences of the warn rules that the run broke"),
        column("table_seconds", pa.map_(TEXT, pa.float64()), "seconds that building each table took"),
        column(
            "table_tries",
            pa.map_(TEXT, COUNT),
            "Airflow's try of the task that built each table, from 1; empty if `checkout-ages night` ran the night",
        ),
    ),
)

RETENTION_RUNS = Table(
    name="retention_runs",
    grain="one row per business date and run of `checkout-ages retain` that deleted photos of that date",
    key=("run_id",),
    columns=(
        column("run_id", TEXT, "run of `checkout-ages retain`; its name contains the date that it counted back from"),
        column("deleted_at", INSTANT, "when the last photo was deleted, UTC"),
        column("deleted_photo_count", COUNT, "deleted photos, and other objects in the day's folder of photos"),
        column("deleted_bytes", COUNT, "size of the deleted objects"),
        column("photo_retention_days", COUNT, "the setting that applied: for how many days photos are kept"),
    ),
)

MODEL_COMPARISON = Table(
    name="model_comparison",
    grain="one row per measure and value of a day that `checkout-ages rescore` rebuilt with another model version; "
    "the table is in `_rescored/MODEL_VERSION/` of the warehouse, next to that version's copies of the other tables",
    key=("measure", "value"),
    columns=(
        column(
            "measure",
            TEXT,
            "the column by which rows are counted: age_group (transactions by age group), audit_status (alcohol "
            "transactions by audit status) or estimate_status (photos by estimate status)",
        ),
        column("value", TEXT, "the age group, audit status or estimate status"),
        column("live_run_id", TEXT, "run that published the day in the live tables, which readers use"),
        column("live_model_version", TEXT, "version of the age model of that run"),
        column("live_count", COUNT, "transactions or photos with the value in the live tables"),
        column(
            "live_share", PROBABILITY, "live_count over all transactions or photos of the measure; null without any"
        ),
        column("rescored_model_version", TEXT, "version of the age model of the rescored tables"),
        column("rescored_count", COUNT, "transactions or photos with the value in the rescored tables"),
        column(
            "rescored_share",
            PROBABILITY,
            "rescored_count over all transactions or photos of the measure; null without any",
        ),
        column("share_shift", pa.float64(), "rescored_share minus live_share"),
        column("both_estimated_count", COUNT, "transactions or photos of live_count that both models estimated"),
        column(
            "mean_age_shift_years",
            YEARS,
            "rescored minus live estimate, mean over both_estimated_count; null if that is 0",
        ),
        RUN_ID,
    ),
)

WINDOW_RUNS = Table(
    name="window_runs",
    grain="one row per published window; it is written last, as the commit mark of a run of cashier_alcohol_window",
    key=("run_id",),
    columns=(
        WINDOW_RUN_ID,
        column("published_at", INSTANT, "when the window's tables had all been published, UTC"),
        WINDOW_FIRST_DATE,
        column("warnings", pa.list_(TEXT), "sentences of the warn rules that the run broke"),
    ),
)
