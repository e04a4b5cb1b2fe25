"""night_inputs: further inputs of check_night's rules: receipts of the days before and after, and table schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from jobs.landing.business_day import BusinessDay
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.table import TRANSACTION_KEY, Table
from jobs.warehouse.warehouse import Warehouse

NEIGHBOUR_COLUMNS = (*TRANSACTION_KEY, "closed_at")


def neighbour_receipts(warehouse: Warehouse, day: BusinessDay) -> pa.Table:
    """Return published receipts of the day before and the day after that were paid at a moment which `day` accepts too.

    Such moments are near midnight, where two business dates overlap. Columns: business_date and NEIGHBOUR_COLUMNS.
    """
    neighbours = [day.business_date + timedelta(days=number) for number in (-1, 1)]
    is_shared = (pc.field("closed_at") >= day.begins_at) & (pc.field("closed_at") < day.ends_at)
    shared = warehouse.published.read_days(TRANSACTION_AGES, neighbours, list(NEIGHBOUR_COLUMNS), is_shared)
    schema = TRANSACTION_AGES.schema_of(NEIGHBOUR_COLUMNS)
    # The empty table gives the columns where neither neighbour is published.
    rows = pa.concat_tables([schema.empty_table(), *(receipts.cast(schema) for receipts in shared.values())])
    dates = [business_date for business_date, receipts in shared.items() for _ in range(receipts.num_rows)]
    return rows.append_column("business_date", pa.array(dates, pa.date32()))


def schema_columns(staged_schemas: Mapping[Table, pa.Schema]) -> pa.Table:
    """Return a row for each column of the tables, once as declared in jobs/schemas and once as staged.

    Columns: origin (declared or staged), table_name, column_name and column_type.
    """
    rows = [
        {
            "origin": origin,
            "table_name": table.name,
            "column_name": field.name,
            "column_type": _type_name(field.type),
        }
        for table, staged_schema in staged_schemas.items()
        for origin, schema in (("declared", table.schema), ("staged", staged_schema))
        for field in schema
    ]
    return pa.Table.from_pylist(rows)


def _type_name(kind: pa.DataType) -> str:
    """Name a type without the names that Parquet gives to the items of a list or map, which writers choose freely."""
    return re.sub(r" \('\w+'\)", "", re.sub(r"list<\w+: ", "list<item: ", str(kind)))
