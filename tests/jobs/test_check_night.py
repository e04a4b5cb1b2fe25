from typing import Any

import duckdb
import pyarrow as pa
import pytest

from jobs import tables
from jobs.check_night import COLUMNS_CHECKED, RULES, broken_rules
from jobs.settings import Settings
from jobs.tables import Table
from tests.rows import at, line

HOURS = range(10, 20)
BUYER = {"store_id": "0042", "till_id": "03", "transaction_id": "t1"}
SOUND_NIGHT: dict[Table, list[dict[str, Any]]] = {
    tables.CHECKOUT_PHOTOS: [{"photo_key": "a"}, {"photo_key": "b"}],
    tables.PHOTO_AGE_ESTIMATES: [
        {"photo_key": "a", "estimate_status": "estimated"},
        {"photo_key": "b", "estimate_status": "empty", "estimate_reason": "the photo has 0 bytes"},
    ],
    tables.TRANSACTION_LINES: [line(is_alcohol=True), line(line_number=2)],
    tables.REJECTED_TRANSACTION_LINES: [],
    tables.TRANSACTION_AGES: [BUYER | {"estimate_status": "estimated", "photo_keys": ["a"]}],
    tables.AGE_GROUP_PURCHASES: [{"line_count": 2, "quantity": 2, "net_amount": 5}],
    tables.ALCOHOL_SALE_AUDIT: [BUYER | {"audit_status": "id_shown", "audit_reason": "an ID was shown"}],
}


def findings(settings: Settings, changed: dict[Table, list[dict[str, Any]]]) -> tuple[list[str], list[str]]:
    connection = duckdb.connect()
    for table, rows in (SOUND_NIGHT | changed).items():
        connection.register(table.name, pa.Table.from_pylist(rows, table.schema).select(COLUMNS_CHECKED[table]))
    return broken_rules(connection, settings)


def test_a_sound_night_breaks_no_rule(settings: Settings) -> None:
    assert findings(settings, {}) == ([], [])


BROKEN_NIGHTS = {
    "ten photos in, ten rows out": {tables.PHOTO_AGE_ESTIMATES: SOUND_NIGHT[tables.PHOTO_AGE_ESTIMATES][:1]},
    "a photo without an estimate has a reason": {
        tables.PHOTO_AGE_ESTIMATES: [
            {"photo_key": "a", "estimate_status": "estimated"},
            {"photo_key": "b", "estimate_status": "empty"},
        ]
    },
    "a rejected line has a reason": {tables.REJECTED_TRANSACTION_LINES: [{"source_file": "a.csv"}]},
    "each transaction of the log has one row of ages": {tables.TRANSACTION_AGES: []},
    "a photo belongs to one transaction at most": {
        tables.TRANSACTION_AGES: [BUYER | {"estimate_status": "estimated", "photo_keys": ["a", "a"]}]
    },
    "age_group_purchases adds up to the log": {
        tables.AGE_GROUP_PURCHASES: [{"line_count": 2, "quantity": 2, "net_amount": 4}]
    },
    "each alcohol sale of the log is audited once, with a status and a reason": {tables.ALCOHOL_SALE_AUDIT: []},
}
WORRYING_NIGHTS = {
    "each till's clock agrees with its camera's": {
        tables.CHECKOUT_PHOTOS: [
            {"photo_key": f"p{hour}", "store_id": "0042", "till_id": "03", "taken_at": at(f"{hour}:05:{hour}")}
            for hour in HOURS
        ],
        tables.PHOTO_AGE_ESTIMATES: [{"photo_key": f"p{hour}", "estimate_status": "estimated"} for hour in HOURS],
        tables.TRANSACTION_LINES: [line(transaction_id=f"t{hour}") for hour in HOURS],
        tables.TRANSACTION_AGES: [
            BUYER
            | {"transaction_id": f"t{hour}", "opened_at": at(f"{hour}:00:00"), "closed_at": at(f"{hour}:01:00")}
            | {"till_clock_skew_seconds": 0.0, "estimate_status": "estimated", "photo_keys": []}
            for hour in HOURS
        ],
        tables.AGE_GROUP_PURCHASES: [{"line_count": 10, "quantity": 10, "net_amount": 25}],
        tables.ALCOHOL_SALE_AUDIT: [],
    },
    "most transactions have an age estimate": {
        tables.TRANSACTION_AGES: [BUYER | {"estimate_status": "no_photo", "photo_keys": []}]
    },
    "the day has photos": {tables.CHECKOUT_PHOTOS: [], tables.PHOTO_AGE_ESTIMATES: []},
    "the day has receipts": {
        tables.TRANSACTION_LINES: [],
        tables.TRANSACTION_AGES: [],
        tables.AGE_GROUP_PURCHASES: [],
        tables.ALCOHOL_SALE_AUDIT: [],
    },
    "receipt lines keep the contract": {
        tables.REJECTED_TRANSACTION_LINES: [{"source_file": "a.csv", "rejection_reason": "sku is missing"}]
    },
}


@pytest.mark.parametrize("rule", BROKEN_NIGHTS)
def test_a_fail_rule_finds_what_it_is_for(settings: Settings, rule: str) -> None:
    failures, _ = findings(settings, BROKEN_NIGHTS[rule])
    assert [failure for failure in failures if failure.startswith(f"{rule}: ")]


@pytest.mark.parametrize("rule", WORRYING_NIGHTS)
def test_a_warn_rule_finds_what_it_is_for_and_fails_nothing(settings: Settings, rule: str) -> None:
    failures, warnings = findings(settings, WORRYING_NIGHTS[rule])
    assert failures == []
    assert [warning for warning in warnings if warning.startswith(f"{rule}: ")]


def test_every_rule_has_a_night_that_breaks_it() -> None:
    assert {rule.name for rule in RULES} == BROKEN_NIGHTS.keys() | WORRYING_NIGHTS.keys()
