"""dictionary: lists of all tables and of the tables that a run publishes; renders the data dictionary from them."""

from __future__ import annotations

import json
from collections.abc import Callable

from jobs.schemas.alcohol import (
    ALCOHOL_REVIEW_CASES,
    ALCOHOL_SALE_AUDIT,
    CASHIER_ALCOHOL_AUDIT,
    CASHIER_ALCOHOL_DAYS,
    REVIEW_PRECISION,
    REVIEWED_CASES,
)
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    PHOTO_COVERAGE,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_LINES,
)
from jobs.schemas.runs import (
    CHECK_RESULTS,
    MODEL_COMPARISON,
    PIPELINE_RUNS,
    RETENTION_RUNS,
    WINDOW_CHECK_RESULTS,
    WINDOW_RUNS,
)
from jobs.schemas.table import BUSINESS_DATE, Table, meaning

NIGHT_TABLES = (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    TRANSACTION_LINES,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_AGES,
    AGE_MIXES,
    AGE_GROUP_PURCHASES,
    AGE_GROUP_AFFINITY,
    ALCOHOL_SALE_AUDIT,
    ALCOHOL_REVIEW_CASES,
    PHOTO_COVERAGE,
    CASHIER_ALCOHOL_DAYS,
)
"""Tables that a night builds with Spark. Each table comes after the tables that it is made from."""

PUBLISHED_TABLES = (*NIGHT_TABLES, CHECK_RESULTS)
"""Tables that publish_night promotes: the night's tables and the results of check_night."""

TABLES_OF_A_RUN = (*PUBLISHED_TABLES, PIPELINE_RUNS)

WINDOW_TABLES = (CASHIER_ALCOHOL_AUDIT, REVIEWED_CASES, REVIEW_PRECISION)
"""Tables that the DAG `cashier_alcohol_window` builds from the published days of a window, without Spark."""

PUBLISHED_WINDOW_TABLES = (*WINDOW_TABLES, WINDOW_CHECK_RESULTS)
"""Tables that publish_window promotes: the window's tables and the results of check_window."""


TABLES = (*TABLES_OF_A_RUN, *PUBLISHED_WINDOW_TABLES, WINDOW_RUNS, MODEL_COMPARISON, RETENTION_RUNS)
"""All tables of the data dictionary and the catalogue."""


def as_markdown(made_by: Callable[[Table], str] | None = None) -> str:
    """Render the data dictionary as markdown: a list of all tables, then the grain, key and columns of each.

    `made_by` may add a line to a table that says which file and task make it.
    """
    every = f"Each table has one more column, `{BUSINESS_DATE.name}` ({BUSINESS_DATE.type}): {meaning(BUSINESS_DATE)}."
    contents = "\n".join(f"- [`{table.name}`](#{table.name}): {table.grain.partition(';')[0]}" for table in TABLES)
    return "\n\n".join([contents, every, *(_table_as_markdown(table, made_by) for table in TABLES)])


def as_json() -> str:
    """Render the data dictionary for programs: a list of tables with name, grain, key and columns."""
    return json.dumps([_table_as_object(table) for table in TABLES], indent=2, ensure_ascii=False)


def _table_as_object(table: Table) -> dict[str, object]:
    columns = [
        {"name": field.name, "type": str(field.type), "meaning": meaning(field)}
        for field in (BUSINESS_DATE, *table.columns)
    ]
    key = [BUSINESS_DATE.name, *table.key]
    return {"name": table.name, "grain": table.grain, "key": key, "columns": columns}


def _table_as_markdown(table: Table, made_by: Callable[[Table], str] | None) -> str:
    heading = f"### `{table.name}`\n\n{table.grain}; key: {', '.join(f'`{name}`' for name in table.key)}\n"
    maker = [f"{made_by(table)}\n"] if made_by else []
    rows = [f"| `{field.name}` | {field.type} | {meaning(field)} |" for field in table.columns]
    return "\n".join([heading, *maker, "| column | type | meaning |", "|---|---|---|", *rows])
