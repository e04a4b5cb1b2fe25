"""check_window: runs rules on the staged tables of a window. If a *fail* rule is broken, nothing is published.

The result of each rule is a row of window_check_results. The rows are published with the window; if the check fails,
they stay in the run's staging folder.
"""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from jobs.schemas.alcohol import CASHIER_ALCOHOL_DAYS
from jobs.schemas.dictionary import WINDOW_TABLES
from jobs.schemas.runs import WINDOW_CHECK_RESULTS
from jobs.settings import Settings
from jobs.steps.rules.rule import conclude, results_of
from jobs.steps.rules.window_rules import RULES
from jobs.warehouse.duckdb_tables import staged_tables_in_duckdb
from jobs.warehouse.warehouse import Warehouse

DAY_COLUMNS = ["store_id", "cashier_id", "sale_count", "run_id"]


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    # An earlier pass ends here: if this check fails or is killed, the window is not published.
    warehouse.staging.withdraw_check(business_date)
    dates = settings.window(business_date)
    days = warehouse.published.read_days(CASHIER_ALCOHOL_DAYS, dates, DAY_COLUMNS)
    columns = {table: table.column_names for table in WINDOW_TABLES}
    others = {"days": pa.concat_tables(days.values())}
    with staged_tables_in_duckdb(warehouse.staging, business_date, columns, others) as connection:
        results = results_of(connection, RULES, {"published": len(days), "wanted": len(dates)})
    refusal = f"no window that ends on {business_date} is published"
    conclude(warehouse, business_date, results, WINDOW_CHECK_RESULTS, refusal)
