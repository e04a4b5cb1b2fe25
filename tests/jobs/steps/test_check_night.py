from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import FailedCheckError
from jobs.schemas.buyers import AGE_GROUP_PURCHASES
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.runs import CHECK_RESULTS
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.steps import check_night
from jobs.steps.rules.night_rules import RULES
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.broken_nights import SCHEMA_RULE
from tests.given.rows import BUSINESS_DATE, at
from tests.given.sound_night import NOTHING_AUDITED, RUN_BEFORE, SOUND_NIGHT


def staged_night(settings: Settings, changed: dict[Table, list[dict[str, Any]]]) -> Warehouse:
    """The sound night with other rows in some tables, staged."""
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "run-1")
    for table in NIGHT_TABLES:
        schema = table.schema_without("run_id")
        warehouse.stage_arrow(
            table, BUSINESS_DATE, pa.Table.from_pylist((SOUND_NIGHT | changed).get(table, []), schema)
        )
    return warehouse


def staged_results(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    rows = warehouse.staging.read_arrow(CHECK_RESULTS, BUSINESS_DATE, CHECK_RESULTS.column_names)
    return {row["rule"]: row for row in rows.to_pylist()}


def test_a_sound_night_is_marked_as_checked_and_has_a_row_for_each_rule(settings: Settings) -> None:
    warehouse = staged_night(settings, {})
    check_night.run(warehouse, BUSINESS_DATE, settings)
    found = staged_results(warehouse)
    assert warehouse.staging.check_warnings(BUSINESS_DATE) == []
    assert found.keys() == {rule.name for rule in RULES}
    assert found["the day has photos"] == {
        "rule": "the day has photos",
        "severity": "warn",
        "is_broken": False,
        "findings": [],
        "not_run_reason": None,
        "measured_value": None,
        "limit_value": None,
        "run_id": "run-1",
    }


def test_a_failed_night_leaves_its_results_in_staging_and_says_where(settings: Settings) -> None:
    warehouse = staged_night(settings, NOTHING_AUDITED)
    warehouse.staging.mark_checked(BUSINESS_DATE, [])
    results_file = warehouse.staging.location(CHECK_RESULTS, BUSINESS_DATE)
    with pytest.raises(
        FailedCheckError, match=f"1 in transaction_lines, 0 with status .*results of all rules: '{results_file}'"
    ):
        check_night.run(warehouse, BUSINESS_DATE, settings)
    rule = "each alcohol sale of the log is audited once, with a status and a reason"
    assert [name for name, row in staged_results(warehouse).items() if row["is_broken"]] == [rule]
    assert warehouse.staging.check_warnings(BUSINESS_DATE) is None


def test_a_file_with_other_columns_than_its_table_declares_fails_the_night(settings: Settings) -> None:
    warehouse = staged_night(settings, {})
    purchases = Path(warehouse.staging.location(AGE_GROUP_PURCHASES, BUSINESS_DATE).removeprefix("file://"))
    rows = pq.read_table(purchases)
    counts_as_text = rows["line_count"].cast(pa.string())
    other_columns = rows.drop_columns(["line_count", "net_amount"]).append_column("line_count", counts_as_text)
    pq.write_table(other_columns, purchases)
    with pytest.raises(FailedCheckError):
        check_night.run(warehouse, BUSINESS_DATE, settings)
    found = staged_results(warehouse)
    assert found[SCHEMA_RULE]["findings"] == [
        "age_group_purchases: column line_count is int64 in the schema and string in the file",
        "age_group_purchases: column net_amount is decimal128(28, 2) in the schema and absent in the file",
    ]
    assert found["age_group_purchases adds up to the log"]["is_broken"] is None
    assert found["age_group_purchases adds up to the log"]["not_run_reason"].startswith("Binder Error: ")


def test_a_worse_run_fails_unless_it_is_built_again_from_what_is_out(settings: Settings) -> None:
    warehouse = staged_night(settings, {})
    runs = Warehouse(ObjectStore(settings.warehouse_uri), "good")
    runs.runs.write(BUSINESS_DATE, RUN_BEFORE | {"published_at": at("03:00:00")})
    with pytest.raises(FailedCheckError, match="1 receipts, but the published run good has 20"):
        check_night.run(warehouse, BUSINESS_DATE, settings)
    check_night.run(warehouse, BUSINESS_DATE, settings, is_built_again=True)
    assert warehouse.staging.check_warnings(BUSINESS_DATE) == []
