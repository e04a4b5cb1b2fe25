"""runs: tables about runs: their records, the results of checks, and the comparison of two model versions."""

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
    column("not_run_reason", TEXT, "why the rule was not run, else null"),
    column("measured_value", pa.float64(), "the figure that the rule judges, where it judges one"),
    column("limit_value", pa.float64(), "how far that figure may go, a setting"),
)

CHECK_RESULTS = Table(
    name="check_results",
    grain="one row per rule of check_night; a run whose night failed leaves its own in its staging folder",
    key=("rule",),
    columns=(
        column("rule", TEXT, "the rule, as a sentence that holds on a sound night"),
        column("severity", TEXT, "fail: a night that breaks it is not published; warn: it is, and says so"),
        column("is_broken", pa.bool_(), "whether the night breaks the rule; null where the rule was not run"),
        *RULE_RESULT_COLUMNS,
        RUN_ID,
    ),
)

WINDOW_CHECK_RESULTS = Table(
    name="window_check_results",
    grain="one row per rule of check_window; a run whose window failed leaves its own in its staging folder",
    key=("rule",),
    columns=(
        column("rule", TEXT, "the rule, as a sentence that holds for a sound window"),
        column("severity", TEXT, "fail: a window that breaks it is not published; warn: it is, and says so"),
        column("is_broken", pa.bool_(), "whether the window breaks the rule; null where the rule was not run"),
        *RULE_RESULT_COLUMNS,
        WINDOW_RUN_ID,
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
