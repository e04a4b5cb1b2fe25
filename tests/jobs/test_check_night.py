from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import check_night, tables
from jobs.check_night import RuleResult, check_results
from jobs.errors import FailedCheckError
from jobs.night_database import schema_columns
from jobs.night_rules import RULES, checked_columns
from jobs.object_store import ObjectStore
from jobs.settings import Settings
from jobs.tables import Table
from jobs.warehouse import Warehouse
from tests.rows import BUSINESS_DATE, at, line

HOURS = range(10, 20)
BUYER = {"store_id": "0042", "till_id": "03", "transaction_id": "t1"}
UNCHECKED_SALE = BUYER | {"audit_status": "check_not_logged", "audit_reason": "no ID check logged", "case_id": "c1"}
PURCHASES = {
    **{"store_id": "0042", "age_group": "25-34", "product_category": "MILK", "currency": "USD"},
    **{"transaction_count": 1, "line_count": 2, "quantity": Decimal("2.375"), "net_amount": 5},
    **{"estimated_transaction_count": 1.0, "estimated_quantity": 2.375, "estimated_net_amount": 5.000001},
}
AFFINITY = {"age_group": "25-34", "product_category": "MILK"}
COVERAGE = {
    **{"store_id": "0042", "till_id": "03", "hour": 12},
    **{"transaction_count": 1, "with_usable_face_count": 1, "reasons": []},
    **{"photo_count": 2, "usable_photo_count": 1, "matched_photo_count": 1, "unmatched_photo_count": 1},
    "unusable_photo_reasons": [("empty", 1)],
}
ESTIMATED = BUYER | {
    "estimate_status": "estimated",
    "photo_keys": ["a"],
    "photo_count": 1,
    "estimated_age_years": 30.0,
    "under_18_probability": 0.01,
}
SOUND_NIGHT: dict[Table, list[dict[str, Any]]] = {
    tables.CHECKOUT_PHOTOS: [{"photo_key": "a"}, {"photo_key": "b"}],
    tables.PHOTO_AGE_ESTIMATES: [
        {"photo_key": "a", "estimate_status": "estimated"},
        {"photo_key": "b", "estimate_status": "empty", "estimate_reason": "the photo has 0 bytes"},
    ],
    tables.TRANSACTION_LINES: [line(is_alcohol=True, quantity="1.375"), line(line_number=2)],
    tables.REJECTED_TRANSACTION_LINES: [],
    tables.TRANSACTION_AGES: [ESTIMATED],
    tables.AGE_GROUP_PURCHASES: [PURCHASES],
    tables.AGE_GROUP_AFFINITY: [
        AFFINITY | {"affinity_index": 1.5},
        AFFINITY | {"age_group": "65+", "affinity_reason": "fewer than 30 transactions"},
    ],
    tables.ALCOHOL_SALE_AUDIT: [UNCHECKED_SALE],
    tables.ALCOHOL_REVIEW_CASES: [{"case_id": "c1", "review_rank": 1}],
    tables.PHOTO_COVERAGE: [COVERAGE],
}

NOTHING_AUDITED: dict[Table, list[dict[str, Any]]] = {tables.ALCOHOL_SALE_AUDIT: [], tables.ALCOHOL_REVIEW_CASES: []}
USUAL_DAY = {
    "model_version": "age_resnet50-3",
    "transaction_count": 1,
    "photographed_transaction_count": 1,
    "estimated_transaction_count": 1,
    "mean_estimated_age_years": 31.0,
    "mean_under_18_probability": 0.02,
}
USUAL_DAYS = [USUAL_DAY] * 7


def results(
    settings: Settings,
    changed: dict[Table, list[dict[str, Any]]],
    trailing_runs: list[dict[str, Any]] = USUAL_DAYS,
) -> dict[str, RuleResult]:
    """What each rule says of the sound night with other rows in some tables, after other days."""
    with duckdb.connect() as connection:
        connection.register("schema_columns", schema_columns({table: table.schema for table in tables.NIGHT_TABLES}))
        connection.register("trailing_runs", pa.Table.from_pylist(trailing_runs, tables.PIPELINE_RUNS.schema))
        for table in tables.NIGHT_TABLES:
            rows = (SOUND_NIGHT | changed).get(table, [])
            columns = pa.Table.from_pylist(rows, table.schema).select(checked_columns(table))
            connection.register(table.name, columns)
        return {result.rule: result for result in check_results(connection, BUSINESS_DATE, settings)}


def broken(results: dict[str, RuleResult], severity: str) -> list[str]:
    return [name for name, result in results.items() if result.is_broken and result.severity == severity]


def test_a_sound_night_breaks_no_rule(settings: Settings) -> None:
    assert [result for result in results(settings, {}).values() if result.is_broken is not False] == []


def camera(till_id: str, photo_count: int, **faults: int) -> dict[str, Any]:
    """The photo coverage of a till in one hour."""
    unusable = sum(faults.values())
    return {
        **{"store_id": "0042", "till_id": till_id, "hour": 12},
        **{"transaction_count": 0, "with_usable_face_count": 0, "reasons": []},
        **{"photo_count": photo_count, "usable_photo_count": photo_count - unusable},
        **{"matched_photo_count": 0, "unmatched_photo_count": photo_count},
        "unusable_photo_reasons": list(faults.items()),
    }


def test_a_till_whose_camera_spoils_faces_is_named_with_the_fault(settings: Settings) -> None:
    coverage = [
        camera("01", 19, face_too_dark=19),
        camera("02", 20, face_too_dark=5, face_low_contrast=1),
        camera("03", 12, face_too_dark=5),
        camera("03", 8, face_too_dark=1, face_low_contrast=1) | {"hour": 13},
        camera("04", 40, no_face=40),
        camera("05", 30, face_distorted=28, face_too_blurred=2),
    ]
    rule = results(settings, {tables.PHOTO_COVERAGE: coverage})["each till's camera shows faces well"]
    assert (rule.severity, rule.is_broken) == ("warn", True)
    assert rule.findings == [
        "till 0042/03: of 20 photos 6 face_too_dark, 1 face_low_contrast; look at the camera and the light",
        "till 0042/05: of 30 photos 28 face_distorted, 2 face_too_blurred; where frames are squashed, see "
        "CHECKOUT_AGES_PHOTO_STRETCH",
    ]
    insisted = settings.model_copy(update={"max_unfit_photo_share_warning": 1.0})
    assert not results(insisted, {tables.PHOTO_COVERAGE: coverage})["each till's camera shows faces well"].is_broken


SCHEMA_RULE = "every table has the columns that it declares"
BROKEN_NIGHTS = {
    "a key is there once": {tables.TRANSACTION_LINES: [line(), line()]},
    "every row has its key": {tables.CHECKOUT_PHOTOS: [{"photo_key": None}, {"photo_key": "a"}]},
    "no row is of another date": {tables.TRANSACTION_LINES: [line(closed_at=at("23:00:00"))]},
    "what landed is of the business date": {
        tables.REJECTED_TRANSACTION_LINES: [
            {
                "source_file": "a.csv",
                "line_in_file": 7,
                "rejection_reason": "closed_at 'x' is not of business date 2026-11-20",
            }
        ]
    },
    "the store hands out the photos that it listed": {
        tables.PHOTO_AGE_ESTIMATES: [
            {
                "photo_key": "a",
                "estimate_status": "unreadable_object",
                "estimate_reason": "photo 'a' cannot be read: 503",
            },
            {"photo_key": "b", "estimate_status": "replaced", "estimate_reason": "photo 'b' is another"},
        ]
    },
    "ten photos in, ten rows out": {tables.PHOTO_AGE_ESTIMATES: SOUND_NIGHT[tables.PHOTO_AGE_ESTIMATES][:1]},
    "a photo without an estimate has a reason": {
        tables.PHOTO_AGE_ESTIMATES: [
            {"photo_key": "a", "estimate_status": "estimated"},
            {"photo_key": "b", "estimate_status": "empty"},
        ]
    },
    "a rejected line has a reason": {tables.REJECTED_TRANSACTION_LINES: [{"source_file": "a.csv", "line_in_file": 7}]},
    "each transaction of the log has one row of ages": {tables.TRANSACTION_AGES: []},
    "a photo belongs to one transaction at most": {tables.TRANSACTION_AGES: [ESTIMATED | {"photo_keys": ["a", "a"]}]},
    "age_group_purchases adds up to the log": {tables.AGE_GROUP_PURCHASES: [PURCHASES | {"net_amount": 4}]},
    "estimates of age_group_purchases add up to its counts": {
        tables.AGE_GROUP_PURCHASES: [PURCHASES | {"estimated_quantity": 1.99}]
    },
    "an affinity has an index or a reason": {tables.AGE_GROUP_AFFINITY: [AFFINITY]},
    "each alcohol sale of the log is audited once, with a status and a reason": {tables.ALCOHOL_SALE_AUDIT: []},
    "each review case is an unchecked sale of the audit": {
        tables.ALCOHOL_SALE_AUDIT: [UNCHECKED_SALE | {"audit_status": "id_shown"}]
    },
    "review cases have the ranks 1 to n": {
        tables.ALCOHOL_REVIEW_CASES: [{"case_id": "c1", "review_rank": 1}, {"case_id": "c1", "review_rank": 3}]
    },
    "photo_coverage adds up to the photos and the transactions": {tables.PHOTO_COVERAGE: []},
    "photo_coverage has a reason for each transaction and photo that does not count": {
        tables.PHOTO_COVERAGE: [COVERAGE | {"unusable_photo_reasons": []}]
    },
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
        tables.AGE_GROUP_PURCHASES: [
            PURCHASES
            | {"transaction_count": 10, "line_count": 10, "quantity": 10, "net_amount": 25}
            | {"estimated_transaction_count": 10.0, "estimated_quantity": 10.0, "estimated_net_amount": 25.0}
        ],
        tables.PHOTO_COVERAGE: [
            COVERAGE
            | {"transaction_count": 10, "with_usable_face_count": 10, "photo_count": 10, "usable_photo_count": 10}
            | {"matched_photo_count": 0, "unmatched_photo_count": 10, "unusable_photo_reasons": []}
        ],
        **NOTHING_AUDITED,
    },
    "most transactions have an age estimate": {
        tables.TRANSACTION_AGES: [BUYER | {"estimate_status": "no_photo", "photo_keys": []}],
        tables.PHOTO_COVERAGE: [
            COVERAGE
            | {"with_usable_face_count": 0, "reasons": [("no_photo", 1)]}
            | {"matched_photo_count": 0, "unmatched_photo_count": 2}
        ],
    },
    "the day has photos": {
        tables.CHECKOUT_PHOTOS: [],
        tables.PHOTO_AGE_ESTIMATES: [],
        tables.TRANSACTION_AGES: [BUYER | {"estimate_status": "estimated", "photo_keys": []}],
        tables.PHOTO_COVERAGE: [
            COVERAGE | {name: 0 for name in COVERAGE if "photo_count" in name} | {"unusable_photo_reasons": []}
        ],
    },
    "each till's camera shows faces well": {
        tables.CHECKOUT_PHOTOS: [{"photo_key": key} for key in "abcdefghijklmnopqrst"],
        tables.PHOTO_AGE_ESTIMATES: [
            {"photo_key": "a", "estimate_status": "estimated"},
            *(
                {"photo_key": key, "estimate_status": "face_too_dark", "estimate_reason": "the face is dark"}
                for key in "bcdefghijklmnopqrst"
            ),
        ],
        tables.PHOTO_COVERAGE: [
            COVERAGE
            | {"photo_count": 20, "matched_photo_count": 1, "unmatched_photo_count": 19}
            | {"unusable_photo_reasons": [("face_too_dark", 19)]}
        ],
    },
    "the day has receipts": {
        tables.TRANSACTION_LINES: [],
        tables.TRANSACTION_AGES: [],
        tables.AGE_GROUP_PURCHASES: [],
        tables.ALCOHOL_SALE_AUDIT: [],
        tables.ALCOHOL_REVIEW_CASES: [],
        tables.PHOTO_COVERAGE: [
            COVERAGE
            | {"transaction_count": 0, "with_usable_face_count": 0}
            | {"matched_photo_count": 0, "unmatched_photo_count": 2}
        ],
    },
    "receipt lines keep the contract": {
        tables.REJECTED_TRANSACTION_LINES: [
            {"source_file": "a.csv", "line_in_file": 7, "rejection_reason": "sku is missing"}
        ]
    },
}


@pytest.mark.parametrize("rule", BROKEN_NIGHTS)
def test_a_fail_rule_finds_what_it_is_for(settings: Settings, rule: str) -> None:
    assert rule in broken(results(settings, BROKEN_NIGHTS[rule]), "fail")


@pytest.mark.parametrize("rule", WORRYING_NIGHTS)
def test_a_warn_rule_finds_what_it_is_for_and_fails_nothing(settings: Settings, rule: str) -> None:
    found = results(settings, WORRYING_NIGHTS[rule])
    assert broken(found, "fail") == []
    assert rule in broken(found, "warn")
    assert found[rule].findings


def test_every_rule_has_a_night_that_breaks_it() -> None:
    assert {rule.name for rule in RULES} == {*BROKEN_NIGHTS, *WORRYING_NIGHTS, *UNUSUAL_DAYS, SCHEMA_RULE}


UNUSUAL_DAYS = {
    "as many transactions as usual have a photo": (
        {"photographed_transaction_count": 1, "transaction_count": 1},
        [BUYER | {"estimate_status": "no_photo", "photo_keys": [], "photo_count": 0}],
        "0.0 % have one, usually 100.0 %",
    ),
    "no more transactions than usual lack an age estimate": (
        {"estimated_transaction_count": 8, "transaction_count": 10},
        [BUYER | {"estimate_status": "no_usable_photo", "photo_keys": ["a"], "photo_count": 1}],
        "100.0 % lack one, usually 20.0 %",
    ),
    "the mean estimated age is the usual one": (
        {"mean_estimated_age_years": 33.0},
        [ESTIMATED | {"estimated_age_years": 30.9}],
        "it is 30.9 years, usually 33.0",
    ),
    "the mean P(under 18) is the usual one": (
        {"mean_under_18_probability": 0.005},
        [ESTIMATED | {"under_18_probability": 0.03}],
        "it is 0.030, usually 0.005",
    ),
    "there are about as many transactions as usual": (
        {"transaction_count": 3},
        [ESTIMATED],
        "there are 1, usually 3",
    ),
}


@pytest.mark.parametrize("rule", UNUSUAL_DAYS)
def test_a_day_unlike_the_days_before_is_published_with_a_warning(settings: Settings, rule: str) -> None:
    usual, transaction_ages, words = UNUSUAL_DAYS[rule]
    matched = sum(len(row["photo_keys"]) for row in transaction_ages)
    coverage = COVERAGE | {"matched_photo_count": matched, "unmatched_photo_count": 2 - matched}
    changed = {tables.TRANSACTION_AGES: transaction_ages, tables.PHOTO_COVERAGE: [coverage]}
    found = results(settings, changed, [USUAL_DAY | usual] * 7)
    assert broken(found, "fail") == []
    assert (found[rule].is_broken, found[rule].findings) == (True, [words])
    assert found[rule].measured_value > found[rule].limit_value


@pytest.mark.parametrize("rule", UNUSUAL_DAYS)
def test_one_strange_day_among_those_before_changes_nothing(settings: Settings, rule: str) -> None:
    strange = USUAL_DAY | UNUSUAL_DAYS[rule][0]
    assert results(settings, {}, [*USUAL_DAYS, strange])[rule].is_broken is False


@pytest.mark.parametrize("rule", UNUSUAL_DAYS)
def test_with_fewer_than_seven_days_before_a_day_is_compared_with_none(settings: Settings, rule: str) -> None:
    result = results(settings, {}, USUAL_DAYS[1:])[rule]
    assert (result.is_broken, result.findings, result.measured_value) == (None, [], None)
    assert result.not_run_reason.startswith("6 of the 28 days before are published")


def test_ages_are_compared_with_days_of_the_same_model_only(settings: Settings) -> None:
    other_model = [USUAL_DAY | {"model_version": "age_resnet50-1", "mean_estimated_age_years": 50.0}] * 7
    found = results(settings, {}, other_model)
    assert (
        found["the mean estimated age is the usual one"].not_run_reason
        == "0 of the 28 days before are published with this age model, 7 are needed"
    )
    assert found["there are about as many transactions as usual"].is_broken is False


def test_a_few_receipts_of_another_date_are_rejected_and_fail_nothing(settings: Settings) -> None:
    lines = [line(line_number=number) for number in range(1, 10)]
    found = results(
        settings,
        BROKEN_NIGHTS["what landed is of the business date"]
        | {
            tables.TRANSACTION_LINES: lines,
            tables.AGE_GROUP_PURCHASES: [
                PURCHASES
                | {"line_count": 9, "quantity": 9, "net_amount": Decimal("22.50")}
                | {"estimated_quantity": 9.0, "estimated_net_amount": 22.5}
            ],
            **NOTHING_AUDITED,
        },
    )
    assert broken(found, "fail") == []
    assert found["what landed is of the business date"].measured_value == pytest.approx(0.1)


def test_a_single_photo_that_the_store_does_not_hand_out_is_a_row_and_stops_no_night(settings: Settings) -> None:
    rule = "the store hands out the photos that it listed"
    one, other = BROKEN_NIGHTS[rule][tables.PHOTO_AGE_ESTIMATES]
    assert results(settings, {tables.PHOTO_AGE_ESTIMATES: [one]})[rule].is_broken is False
    assert results(settings, {tables.PHOTO_AGE_ESTIMATES: [one, other]})[rule].is_broken is True
    missing = [{"photo_key": key, "estimate_status": "missing", "estimate_reason": "it is not there"} for key in "ab"]
    assert results(settings, {tables.PHOTO_AGE_ESTIMATES: missing})[rule].measured_value == 0


def test_the_share_of_another_date_is_that_of_receipts_or_photos_whichever_is_larger(settings: Settings) -> None:
    rule = "what landed is of the business date"
    photos = [{"photo_key": str(number)} for number in range(99)]
    strange_photo = {"photo_key": "b", "key_problem": "photo key 'b' is not of business date 2026-11-20"}
    landed = {
        tables.TRANSACTION_LINES: [line(line_number=number) for number in range(1, 20)],
        tables.CHECKOUT_PHOTOS: [*photos, strange_photo],
    }
    assert results(settings, landed)[rule].measured_value == pytest.approx(0.01)
    assert results(settings, BROKEN_NIGHTS[rule] | landed)[rule].measured_value == pytest.approx(0.05)
    assert results(settings, BROKEN_NIGHTS[rule] | landed)[rule].is_broken is False


def test_a_rule_of_a_figure_tells_the_figure_and_its_limit_also_while_it_holds(settings: Settings) -> None:
    result = results(settings, {})["most transactions have an age estimate"]
    assert (result.is_broken, result.measured_value, result.limit_value) == (False, 0.0, 0.5)


def staged_night(settings: Settings, changed: dict[Table, list[dict[str, Any]]]) -> Warehouse:
    """The sound night with other rows in some tables, staged."""
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "run-1")
    for table in tables.NIGHT_TABLES:
        schema = pa.schema([field for field in table.schema if field.name != "run_id"])
        warehouse.stage_arrow(
            table, BUSINESS_DATE, pa.Table.from_pylist((SOUND_NIGHT | changed).get(table, []), schema)
        )
    return warehouse


def staged_results(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    rows = warehouse.read_arrow(tables.CHECK_RESULTS, BUSINESS_DATE, tables.CHECK_RESULTS.column_names)
    return {row["rule"]: row for row in rows.to_pylist()}


def test_a_sound_night_is_marked_as_checked_and_has_a_row_for_each_rule(settings: Settings) -> None:
    warehouse = staged_night(settings, {})
    check_night.run(warehouse, BUSINESS_DATE, settings)
    found = staged_results(warehouse)
    assert warehouse.check_warnings(BUSINESS_DATE) == []
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
    warehouse.mark_checked(BUSINESS_DATE, [])
    results_file = warehouse.staged_location(tables.CHECK_RESULTS, BUSINESS_DATE)
    with pytest.raises(FailedCheckError, match=f"1 in the log, 0 with status .*results of all rules: '{results_file}'"):
        check_night.run(warehouse, BUSINESS_DATE, settings)
    rule = "each alcohol sale of the log is audited once, with a status and a reason"
    assert [name for name, row in staged_results(warehouse).items() if row["is_broken"]] == [rule]
    assert warehouse.check_warnings(BUSINESS_DATE) is None


def test_a_file_with_other_columns_than_its_table_declares_fails_the_night(settings: Settings) -> None:
    warehouse = staged_night(settings, {})
    purchases = Path(warehouse.staged_location(tables.AGE_GROUP_PURCHASES, BUSINESS_DATE).removeprefix("file://"))
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
