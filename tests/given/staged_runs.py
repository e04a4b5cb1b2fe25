"""staged_runs: stage and check a run."""

from __future__ import annotations

from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.schemas.runs import CHECK_RESULTS
from jobs.settings import Settings
from jobs.steps.rules.rule import RuleResult, as_rows
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, arrow_rows, line


def staged_run(settings: Settings, run_id: str, line_count: int, try_number: int | None = None) -> Warehouse:
    """Stage and check a run with some receipt lines and nothing else."""
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), run_id, try_number=try_number)
    lines = [line(line_number=number) for number in range(1, line_count + 1)]
    for table in NIGHT_TABLES:
        rows = lines if table is TRANSACTION_LINES else []
        warehouse.stage_arrow(table, BUSINESS_DATE, arrow_rows(table, *rows))
    results = [RuleResult("the day has photos", "warn", True, ["none landed"])]
    warehouse.stage_arrow(CHECK_RESULTS, BUSINESS_DATE, as_rows(results))
    warehouse.staging.mark_checked(BUSINESS_DATE, ["the day has photos: none landed"])
    return warehouse
