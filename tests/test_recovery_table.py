"""The recovery table of dags/README.md: a test proves each row, named here by what the operator sees."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from jobs.operations.render_readmes import OPERATOR

ROOT = Path(__file__).parents[1]
HEADING = "| what an operator sees | what it means | what to do |"

PROVED_BY = {
    "`… failed in run … and is not retried; its log: …` in a log or at the webhook": (
        "dags/test_alerts.py",
        "test_a_failed_task_is_one_line_of_its_log",
    ),
    "`run … is late: it should have ended by …` there": (
        "dags/test_alerts.py",
        "test_a_late_run_is_named_with_its_deadline",
    ),
    "`… of … days are not published: …` at the end of a backfill (exit code 1)": (
        "jobs/steps/test_conclude_backfill.py",
        "test_a_failed_day_is_named_with_its_reason_and_one_that_was_not_reached_too",
    ),
    "`… of … days have not landed: …` at the end of a backfill (exit code 75)": (
        "jobs/operations/test_backfill.py",
        "test_a_day_that_lands_late_is_built_under_the_same_run_id",
    ),
    "`run '…' was begun with other settings: …` (exit code 2)": (
        "jobs/steps/test_plan_backfill.py",
        "test_a_run_begun_with_other_settings_is_not_continued",
    ),
    "a backfill's tasks stay `scheduled`": (
        "docker/test_airflow_local_settings.py",
        "test_only_a_backfills_tasks_go_into_its_pool",
    ),
    "`inference engine '…' needs the package '…'` (inside Spark at the end of a traceback)": (
        "jobs/tables/test_photo_age_estimates.py",
        "test_an_engine_that_is_not_installed_is_named_with_the_way_out",
    ),
    "`wait_for_business_date` waits": (
        "jobs/test_run.py",
        "test_waiting_for_a_day_exits_with_75_until_it_has_landed",
    ),
    "a table task failed with exit code 2": (
        "dags/test_job_tasks.py",
        "test_bad_input_is_not_retried",
    ),
    "`check_night` failed": (
        "end_to_end/test_night.py",
        "test_a_failed_check_publishes_nothing",
    ),
    "`check_night` warns": (
        "jobs/steps/rules/test_night_rules.py",
        "test_a_warn_rule_finds_what_it_is_for_and_fails_nothing",
    ),
    "a Spark task says `machine '…' has other code of this project … than Spark's driver` (exit code 2)": (
        "end_to_end/test_cluster.py",
        "test_a_machine_with_another_version_of_the_code_is_refused",
    ),
    "a Spark task says `'file:///…' is a folder of this machine` (exit code 2)": (
        "end_to_end/test_cluster.py",
        "test_a_folder_of_the_drivers_machine_is_refused",
    ),
    "a run died in the middle": (
        "jobs/steps/test_publish_night.py",
        "test_staging_that_a_dead_run_left_long_ago_is_swept_with_a_line_in_the_log",
    ),
    "`publish_night` died": (
        "jobs/steps/test_publish_night.py",
        "test_a_run_that_dies_while_publishing_is_mended_by_running_it_again",
    ),
    "`publish_night` says that another run, or another process of its own, is publishing the day (exit code 1)": (
        "jobs/test_run.py",
        "test_a_day_that_another_process_publishes_exits_with_1_and_one_sentence_so_that_airflow_tries_again",
    ),
    "`publish_night` says that it lost its lock": (
        "jobs/steps/test_publish_night.py",
        "test_a_publisher_that_lost_its_lock_stops_before_the_next_table",
    ),
    "a table `is not staged`, and the run was started days ago": (
        "jobs/test_run.py",
        "test_a_check_of_a_run_that_staged_nothing_says_what_to_run_first",
    ),
    "`refused the credentials` (exit code 2)": (
        "jobs/test_run.py",
        "test_refused_credentials_exit_with_2_and_are_not_shown",
    ),
    "`showed a certificate … that is not trusted`": (
        "jobs/warehouse/test_object_store.py",
        "test_an_https_endpoint_is_trusted_by_its_ca_and_by_nothing_else",
    ),
    "a Spark task says `this machine has no key …, but the run began with the key 'p…'`": (
        "jobs/landing/test_cashier_pseudonyms.py",
        "test_a_machine_without_the_key_of_the_run_reads_nothing",
    ),
    "`check_window` warns of pseudonyms of several keys": (
        "jobs/steps/test_order.py",
        "test_a_window_with_pseudonyms_of_two_keys_is_published_with_a_warning",
    ),
    "a task failed: `object store … cannot be reached at … for …` (exit code 1)": (
        "jobs/test_run.py",
        "test_a_store_that_does_not_answer_exits_with_1_so_that_it_is_tried_again",
    ),
    "a task failed: `object … was replaced since it was listed or opened`, or `… is gone` (exit code 1)": (
        "reliability/test_s3_faults.py",
        "test_half_a_receipt_file_is_never_a_days_log",
    ),
    "a task failed: `receipt files … were added, replaced or deleted while they were read`": (
        "jobs/landing/test_deliveries.py",
        "test_receipts_that_change_while_they_are_read_fail_the_task",
    ),
    "`check_night` failed: `receipt files can be read to their end`, `most receipt lines keep the contract` or "
    "`not all that the stores delivered is refused`": (
        "jobs/steps/rules/test_night_rules.py",
        "test_a_fail_rule_finds_what_it_is_for",
    ),
    "`check_night` failed: `a day that is out is not replaced by a much smaller one`": (
        "jobs/steps/rules/test_delivery_rules.py",
        "test_a_day_is_replaced_by_one_of_half_its_receipts_but_not_of_fewer",
    ),
    "`check_night` warns: `photos and receipts name the same stores and tills`": (
        "jobs/steps/rules/test_delivery_rules.py",
        "test_a_store_or_till_with_photos_but_no_receipts_is_named_with_its_likely_other_name",
    ),
    "`check_night` warns: `each till's clock agrees with its camera's`": (
        "jobs/steps/rules/test_till_clocks.py",
        "test_a_till_in_local_time_is_named_with_the_hours_and_the_setting",
    ),
    "`check_night` warns: `each till's camera shows faces well`": (
        "jobs/steps/rules/test_night_rules.py",
        "test_a_till_whose_camera_spoils_faces_is_named_with_the_fault",
    ),
    "lines rejected as `its receipt has cashier_id … and …`": (
        "jobs/landing/test_receipt_comparison.py",
        "test_all_lines_of_a_receipt_that_contradicts_itself_are_rejected",
    ),
    "`check_night` failed: `the store hands out the photos that it listed`": (
        "jobs/steps/rules/test_night_rules.py",
        "test_a_fail_rule_finds_what_it_is_for",
    ),
    "photos with `estimate_status` `missing`, `replaced` or `unreadable_object`": (
        "jobs/tables/test_photo_age_estimates.py",
        "test_what_another_model_or_engine_said_and_what_may_pass_is_not_taken_over",
    ),
    "rows of line 0: `file … is cut off`, `file … has the header …` and the like": (
        "jobs/landing/test_landed_lines.py",
        "test_a_file_of_another_dialect_is_one_row_that_names_it",
    ),
    "a run says that photos were deleted past their days": (
        "jobs/privacy/test_retain.py",
        "test_a_night_of_a_published_day_whose_photos_were_deleted_is_refused",
    ),
    "a run says that it read its input before someone was erased": (
        "jobs/landing/test_tombstones.py",
        "test_a_night_that_read_its_input_before_an_erasure_is_not_published",
    ),
    "`erase` died, or fails": (
        "reliability/test_erasure.py",
        "test_an_erased_person_is_found_nowhere_however_often_the_erasure_was_killed",
    ),
    "`erase` says that the published tables are of several runs": (
        "jobs/privacy/test_erase.py",
        "test_a_day_that_another_run_has_half_published_is_not_touched",
    ),
    "photos or lines came late": (
        "end_to_end/test_night.py",
        "test_photos_and_lines_that_come_late_restate_the_day_and_its_window",
    ),
    "`nightly_report` or `restate_reports` failed": (
        "jobs/steps/test_nightly_report.py",
        "test_a_page_that_cannot_be_made_changes_nothing_that_is_published",
    ),
    "`announce_published_day` is skipped": (
        "jobs/steps/test_publish_night.py",
        "test_a_day_is_announced_when_it_is_new_or_changed_and_not_when_it_came_out_the_same",
    ),
    "`publish_night` or `publish_window` logs `catalog.duckdb is left as it was`": (
        "jobs/warehouse/test_catalogue.py",
        "test_a_catalogue_that_cannot_be_written_is_told_and_undoes_no_published_night",
    ),
    "`checkout-ages doctor` exits with 1": (
        "jobs/operations/test_doctor.py",
        "test_a_machine_that_cannot_exits_with_1_says_how_to_mend_it_and_shows_no_credentials",
    ),
}


def rows() -> list[str]:
    """The first cell of each row."""
    _, _, table = OPERATOR.read_text().partition(f"{HEADING}\n")
    lines = iter(table.splitlines()[1:])
    cells = []
    while (line := next(lines, "")).startswith("|"):
        cells.append(re.split(r"(?<!\\)\|", line)[1].strip())
    return cells


def test_every_row_is_proved_by_a_test_and_no_test_is_of_a_row_that_is_gone() -> None:
    assert set(rows()) == set(PROVED_BY)


@pytest.mark.parametrize(("path", "name"), PROVED_BY.values())
def test_the_test_is_there(path: str, name: str) -> None:
    functions = [
        node.name for node in ast.parse((ROOT / "tests" / path).read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert name in functions
