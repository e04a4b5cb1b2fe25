from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import FailedCheckError
from jobs.landing.business_day import business_day
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.dictionary import NIGHT_TABLES
from jobs.schemas.landed import (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    PHOTO_COVERAGE,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_LINES,
)
from jobs.schemas.runs import CHECK_RESULTS, PIPELINE_RUNS
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.steps import check_night
from jobs.steps.check_night import check_results, file_rows
from jobs.steps.rules.night_inputs import NEIGHBOUR_COLUMNS, neighbour_receipts, schema_columns
from jobs.steps.rules.night_rules import RULES, checked_columns
from jobs.steps.rules.rule import RuleResult
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at, line

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
    CHECKOUT_PHOTOS: [{"photo_key": "a"}, {"photo_key": "b"}],
    PHOTO_AGE_ESTIMATES: [
        {"photo_key": "a", "estimate_status": "estimated"},
        {"photo_key": "b", "estimate_status": "empty", "estimate_reason": "the photo has 0 bytes"},
    ],
    TRANSACTION_LINES: [line(is_alcohol=True, quantity="1.375"), line(line_number=2)],
    REJECTED_TRANSACTION_LINES: [],
    TRANSACTION_AGES: [ESTIMATED],
    AGE_GROUP_PURCHASES: [PURCHASES],
    AGE_GROUP_AFFINITY: [
        AFFINITY | {"affinity_index": 1.5},
        AFFINITY | {"age_group": "65+", "affinity_reason": "fewer than 30 transactions"},
    ],
    ALCOHOL_SALE_AUDIT: [UNCHECKED_SALE],
    ALCOHOL_REVIEW_CASES: [{"case_id": "c1", "review_rank": 1}],
    PHOTO_COVERAGE: [COVERAGE],
}

NOTHING_AUDITED: dict[Table, list[dict[str, Any]]] = {ALCOHOL_SALE_AUDIT: [], ALCOHOL_REVIEW_CASES: []}
USUAL_DAY = {
    "model_version": "age_resnet50-4",
    "transaction_count": 1,
    "photographed_transaction_count": 1,
    "estimated_transaction_count": 1,
    "mean_estimated_age_years": 31.0,
    "mean_under_18_probability": 0.02,
}
USUAL_DAYS = [USUAL_DAY] * 7
NO_ROWS: list[dict[str, Any]] = []


def results(
    settings: Settings,
    changed: dict[Table, list[dict[str, Any]]],
    trailing_runs: list[dict[str, Any]] = USUAL_DAYS,
    run_before: dict[str, Any] | None = None,
    neighbour_receipts: list[dict[str, Any]] = NO_ROWS,
    receipt_files: Sequence[str] = ("a.csv", "a.xlsx"),
    is_built_again: bool = False,
) -> dict[str, RuleResult]:
    """What each rule says of the sound night with other rows in some tables, after other days."""
    neighbours = pa.schema(
        [*(TRANSACTION_AGES.schema.field(name) for name in NEIGHBOUR_COLUMNS), ("business_date", pa.date32())]
    )
    with duckdb.connect() as connection:
        connection.register("schema_columns", schema_columns({table: table.schema for table in NIGHT_TABLES}))
        connection.register("trailing_runs", pa.Table.from_pylist(trailing_runs, PIPELINE_RUNS.schema))
        connection.register(
            "run_before", pa.Table.from_pylist([run_before] if run_before else [], PIPELINE_RUNS.schema)
        )
        connection.register("neighbour_receipts", pa.Table.from_pylist(neighbour_receipts, neighbours))
        connection.register("receipt_files", file_rows(receipt_files))
        for table in NIGHT_TABLES:
            rows = (SOUND_NIGHT | changed).get(table, [])
            columns = pa.Table.from_pylist(rows, table.schema).select(checked_columns(table))
            connection.register(table.name, columns)
        day = business_day(BUSINESS_DATE, settings.time_zone, settings.business_date_allowance_minutes)
        found = check_results(connection, day, settings.model_dump(), is_built_again=is_built_again)
        return {result.rule: result for result in found}


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
    rule = results(settings, {PHOTO_COVERAGE: coverage})["each till's camera shows faces well"]
    assert (rule.severity, rule.is_broken) == ("warn", True)
    assert rule.findings == [
        "till 0042/03: of 20 photos 6 face_too_dark, 1 face_low_contrast; check the camera and the light",
        "till 0042/05: of 30 photos 28 face_distorted, 2 face_too_blurred; if the camera squashes its photos, "
        "set CHECKOUT_AGES_PHOTO_STRETCH",
    ]
    insisted = settings.model_copy(update={"max_unfit_photo_share_warning": 1.0})
    assert not results(insisted, {PHOTO_COVERAGE: coverage})["each till's camera shows faces well"].is_broken


def rejected(line_in_file: int, source_file: str = "a.csv", **given: Any) -> dict[str, Any]:
    reason = {"rejection_reason": f"'{source_file}' or a line of it is broken", "rejection_kind": "sku is missing"}
    return {"source_file": source_file, "line_in_file": line_in_file} | reason | given


OTHER_RULES = {
    "a published day is not replaced by a much smaller one",
    "a receipt belongs to one business date",
}
SCHEMA_RULE = "every table has the columns that it declares"
BROKEN_NIGHTS = {
    "each key occurs once": {TRANSACTION_LINES: [line(), line()]},
    "every row has its key": {CHECKOUT_PHOTOS: [{"photo_key": None}, {"photo_key": "a"}]},
    "no row is of another date": {TRANSACTION_LINES: [line(closed_at=at("23:00:00"))]},
    "deliveries are of the business date": {
        REJECTED_TRANSACTION_LINES: [
            {
                "source_file": "a.csv",
                "line_in_file": 7,
                "rejection_reason": "in whatever words",
                "is_other_date": True,
            }
        ]
    },
    "the object store returns the photos that it listed": {
        PHOTO_AGE_ESTIMATES: [
            {
                "photo_key": "a",
                "estimate_status": "unreadable_object",
                "estimate_reason": "photo 'a' cannot be read: 503",
            },
            {"photo_key": "b", "estimate_status": "replaced", "estimate_reason": "photo 'b' is another"},
        ]
    },
    "each delivered photo has one row of estimates": {PHOTO_AGE_ESTIMATES: SOUND_NIGHT[PHOTO_AGE_ESTIMATES][:1]},
    "a photo without an estimate has a reason": {
        PHOTO_AGE_ESTIMATES: [
            {"photo_key": "a", "estimate_status": "estimated"},
            {"photo_key": "b", "estimate_status": "empty"},
        ]
    },
    "a rejected line has a reason": {REJECTED_TRANSACTION_LINES: [{"source_file": "a.csv", "line_in_file": 7}]},
    "each transaction has one row in transaction_ages": {TRANSACTION_AGES: []},
    "receipt files can be read to their end": {REJECTED_TRANSACTION_LINES: [rejected(0)]},
    "most receipt lines meet the contract": {REJECTED_TRANSACTION_LINES: [rejected(7)]},
    "at least one delivered receipt line is kept": {
        REJECTED_TRANSACTION_LINES: [rejected(7, is_repeat=True)],
        TRANSACTION_LINES: [],
    },
    "a photo belongs to one transaction at most": {TRANSACTION_AGES: [ESTIMATED | {"photo_keys": ["a", "a"]}]},
    "age_group_purchases adds up to the receipt lines": {AGE_GROUP_PURCHASES: [PURCHASES | {"net_amount": 4}]},
    "estimates of age_group_purchases add up to its counts": {
        AGE_GROUP_PURCHASES: [PURCHASES | {"estimated_quantity": 1.99}]
    },
    "an affinity has an index or a reason": {AGE_GROUP_AFFINITY: [AFFINITY]},
    "each alcohol sale is audited once, with a status and a reason": {ALCOHOL_SALE_AUDIT: []},
    "each review case is an unchecked sale of the audit": {
        ALCOHOL_SALE_AUDIT: [UNCHECKED_SALE | {"audit_status": "id_shown"}]
    },
    "review cases have the ranks 1 to n": {
        ALCOHOL_REVIEW_CASES: [{"case_id": "c1", "review_rank": 1}, {"case_id": "c1", "review_rank": 3}]
    },
    "photo_coverage adds up to the photos and the transactions": {PHOTO_COVERAGE: []},
    "photo_coverage has a reason for each transaction and photo without an estimate": {
        PHOTO_COVERAGE: [COVERAGE | {"unusable_photo_reasons": []}]
    },
}
WORRYING_NIGHTS = {
    "each till's clock agrees with its camera's": {
        CHECKOUT_PHOTOS: [
            {"photo_key": f"p{hour}", "store_id": "0042", "till_id": "03", "taken_at": at(f"{hour}:05:{hour}")}
            for hour in HOURS
        ],
        PHOTO_AGE_ESTIMATES: [{"photo_key": f"p{hour}", "estimate_status": "estimated"} for hour in HOURS],
        TRANSACTION_LINES: [line(transaction_id=f"t{hour}") for hour in HOURS],
        TRANSACTION_AGES: [
            BUYER
            | {"transaction_id": f"t{hour}", "opened_at": at(f"{hour}:00:00"), "closed_at": at(f"{hour}:01:00")}
            | {"till_clock_skew_seconds": 0.0, "estimate_status": "estimated", "photo_keys": []}
            for hour in HOURS
        ],
        AGE_GROUP_PURCHASES: [
            PURCHASES
            | {"transaction_count": 10, "line_count": 10, "quantity": 10, "net_amount": 25}
            | {"estimated_transaction_count": 10.0, "estimated_quantity": 10.0, "estimated_net_amount": 25.0}
        ],
        PHOTO_COVERAGE: [
            COVERAGE
            | {"transaction_count": 10, "with_usable_face_count": 10, "photo_count": 10, "usable_photo_count": 10}
            | {"matched_photo_count": 0, "unmatched_photo_count": 10, "unusable_photo_reasons": []}
        ],
        **NOTHING_AUDITED,
    },
    "most transactions have an age estimate": {
        TRANSACTION_AGES: [BUYER | {"estimate_status": "no_photo", "photo_keys": []}],
        PHOTO_COVERAGE: [
            COVERAGE
            | {"with_usable_face_count": 0, "reasons": [("no_photo", 1)]}
            | {"matched_photo_count": 0, "unmatched_photo_count": 2}
        ],
    },
    "the day has photos": {
        CHECKOUT_PHOTOS: [],
        PHOTO_AGE_ESTIMATES: [],
        TRANSACTION_AGES: [BUYER | {"estimate_status": "estimated", "photo_keys": []}],
        PHOTO_COVERAGE: [
            COVERAGE | {name: 0 for name in COVERAGE if "photo_count" in name} | {"unusable_photo_reasons": []}
        ],
    },
    "each till's camera shows faces well": {
        CHECKOUT_PHOTOS: [{"photo_key": key} for key in "abcdefghijklmnopqrst"],
        PHOTO_AGE_ESTIMATES: [
            {"photo_key": "a", "estimate_status": "estimated"},
            *(
                {"photo_key": key, "estimate_status": "face_too_dark", "estimate_reason": "the face is dark"}
                for key in "bcdefghijklmnopqrst"
            ),
        ],
        PHOTO_COVERAGE: [
            COVERAGE
            | {"photo_count": 20, "matched_photo_count": 1, "unmatched_photo_count": 19}
            | {"unusable_photo_reasons": [("face_too_dark", 19)]}
        ],
    },
    "the day has receipts": {
        TRANSACTION_LINES: [],
        TRANSACTION_AGES: [],
        AGE_GROUP_PURCHASES: [],
        ALCOHOL_SALE_AUDIT: [],
        ALCOHOL_REVIEW_CASES: [],
        PHOTO_COVERAGE: [
            COVERAGE
            | {"transaction_count": 0, "with_usable_face_count": 0}
            | {"matched_photo_count": 0, "unmatched_photo_count": 2}
        ],
    },
    "every receipt file is read whole": {REJECTED_TRANSACTION_LINES: [rejected(0, "a.xlsx")]},
    "returns and voids have minus signs": {
        TRANSACTION_LINES: [
            line(is_alcohol=True, quantity="1.375"),
            line(line_number=2, line_type="void", quantity="-1", net_amount="2.50"),
        ],
        AGE_GROUP_PURCHASES: [PURCHASES | {"quantity": Decimal("0.375"), "estimated_quantity": 0.375}],
    },
    "photos and receipts name the same stores and tills": {
        CHECKOUT_PHOTOS: [
            {"photo_key": key, "store_id": "42", "till_id": "03", "taken_at": at("18:30:00")} for key in "ab"
        ],
    },
    "receipt lines meet the contract": {
        REJECTED_TRANSACTION_LINES: [
            {"source_file": "a.csv", "line_in_file": 7, "rejection_reason": "sku is missing", "is_repeat": True}
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
    assert {rule.name for rule in RULES} == {*BROKEN_NIGHTS, *WORRYING_NIGHTS, *UNUSUAL_DAYS, *OTHER_RULES, SCHEMA_RULE}


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
    changed = {TRANSACTION_AGES: transaction_ages, PHOTO_COVERAGE: [coverage]}
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
    other_model = [USUAL_DAY | {"model_version": "age_resnet50-3", "mean_estimated_age_years": 50.0}] * 7
    found = results(settings, {}, other_model)
    assert (
        found["the mean estimated age is the usual one"].not_run_reason
        == "0 of the 28 days before are published with this age model; 7 are needed"
    )
    assert found["there are about as many transactions as usual"].is_broken is False


def test_a_few_receipts_of_another_date_are_rejected_and_fail_nothing(settings: Settings) -> None:
    lines = [line(line_number=number) for number in range(1, 10)]
    found = results(
        settings,
        BROKEN_NIGHTS["deliveries are of the business date"]
        | {
            TRANSACTION_LINES: lines,
            AGE_GROUP_PURCHASES: [
                PURCHASES
                | {"line_count": 9, "quantity": 9, "net_amount": Decimal("22.50")}
                | {"estimated_quantity": 9.0, "estimated_net_amount": 22.5}
            ],
            **NOTHING_AUDITED,
        },
    )
    assert broken(found, "fail") == []
    assert found["deliveries are of the business date"].measured_value == pytest.approx(0.1)


def test_exact_repeats_and_lines_of_another_date_do_not_count_as_rejected(settings: Settings) -> None:
    rule = "most receipt lines meet the contract"
    again, other = rejected(7, is_repeat=True), rejected(8, is_other_date=True)
    none = results(settings, {REJECTED_TRANSACTION_LINES: [again, other]})[rule]
    assert (none.is_broken, none.measured_value) == (False, 0.0)
    one = results(settings, {REJECTED_TRANSACTION_LINES: [again, other, rejected(9), rejected(0)]})[rule]
    assert (one.is_broken, one.measured_value) == (True, pytest.approx(1 / 5))
    assert one.findings == [
        "20 % of 5 lines are rejected, more than CHECKOUT_AGES_MAX_REJECTED_LINE_SHARE allows: sku is missing (3)"
    ]


def test_a_file_that_cannot_be_read_is_judged_among_files_and_one_with_another_ending_only_warns(
    settings: Settings,
) -> None:
    rule = "receipt files can be read to their end"
    files = [*(f"{number}.csv" for number in range(49)), "a.xlsx"]
    changed = {REJECTED_TRANSACTION_LINES: [rejected(0, "7.csv"), rejected(0, "a.xlsx")]}
    result = results(settings, changed, receipt_files=files)[rule]
    assert (result.is_broken, result.measured_value) == (True, pytest.approx(1 / 49))
    assert result.findings == [
        "1 of 49 files cannot, such as: '7.csv' or a line of it is broken; have them delivered again"
    ]
    result = results(settings, changed, receipt_files=[*files, "49.csv"])[rule]
    assert (result.is_broken, result.measured_value) == (False, pytest.approx(0.02))
    found = results(settings, changed, receipt_files=[*files, "49.csv"])["every receipt file is read whole"]
    assert found.findings == ["'7.csv' or a line of it is broken", "'a.xlsx' or a line of it is broken"]


@pytest.mark.parametrize(
    "rule",
    [
        "receipt files can be read to their end",
        "most receipt lines meet the contract",
        "at least one delivered receipt line is kept",
    ],
)
def test_where_a_day_is_built_again_a_rule_on_the_delivery_only_warns(settings: Settings, rule: str) -> None:
    found = results(settings, BROKEN_NIGHTS[rule], is_built_again=True)
    assert (found[rule].is_broken, found[rule].severity, found[rule].stops_publication) == (True, "warn", False)


RUN_BEFORE = {
    "run_id": "good",
    "transaction_count": 20,
    "photographed_transaction_count": 20,
    "estimated_transaction_count": 19,
}
"""Estimates are too few to be compared."""


@pytest.mark.parametrize(
    ("tonight", "words"),
    [
        (10, None),
        (
            9,
            "9 receipts, but the published run good has 20; 9 receipts with a photo, but the published run good has 20",
        ),
    ],
)
def test_a_day_is_replaced_by_one_of_half_its_receipts_but_not_of_fewer(
    settings: Settings, tonight: int, words: str | None
) -> None:
    rule = "a published day is not replaced by a much smaller one"
    ages = {TRANSACTION_AGES: [ESTIMATED | {"transaction_id": f"t{number}"} for number in range(tonight)]}
    result = results(settings, ages, run_before=RUN_BEFORE)[rule]
    way_out = "; have the whole day delivered, or set CHECKOUT_AGES_MIN_REPUBLISHED_SHARE=0 to publish it anyway"
    assert result.findings == ([words + way_out] if words else [])
    assert (result.is_broken, result.measured_value) == (words is not None, pytest.approx(tonight / 20))
    insisting = settings.model_copy(update={"min_republished_share": 0.0})
    assert results(insisting, ages, run_before=RUN_BEFORE)[rule].is_broken is False


def test_a_small_day_may_be_replaced_by_a_smaller_one(settings: Settings) -> None:
    small = RUN_BEFORE | {"transaction_count": 19, "photographed_transaction_count": 19}
    result = results(settings, {}, run_before=small)["a published day is not replaced by a much smaller one"]
    assert (result.is_broken, result.measured_value) == (False, None)


def test_a_receipt_that_is_out_as_of_the_next_day_too_is_warned_of(settings: Settings) -> None:
    rule = "a receipt belongs to one business date"
    twice = BUYER | {"closed_at": at("21:30:00")}
    ages = {TRANSACTION_AGES: [ESTIMATED | twice]}
    next_day = {"business_date": BUSINESS_DATE + timedelta(days=1)}
    result = results(settings, ages, neighbour_receipts=[twice | next_day])[rule]
    assert result.findings == [
        "1 receipts are published for 2026-11-21 too, such as at till 0042/03: same number, same closed_at"
    ]
    at_another_time = twice | next_day | {"closed_at": at("21:31:00")}
    assert results(settings, ages, neighbour_receipts=[at_another_time])[rule].is_broken is False


def photos_at(*tills: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"photo_key": f"{number}", "store_id": store, "till_id": till} for number, (store, till) in enumerate(tills)
    ]


@pytest.mark.parametrize(
    ("photos", "receipts", "findings"),
    [
        (
            [("0042", "01"), ("0042", "02"), ("7", "1")],
            [("42", "1"), ("142", "1"), ("7", "1")],
            ["store 0042 has 2 photos but no receipts; with receipts but no photos, nearest first: 42, 142"],
        ),
        (
            [("7", "01"), ("7", "2")],
            [("7", "1"), ("7", "2"), ("8", "01")],
            ["till 7/01 has 1 photos but no receipts; with receipts but no photos, nearest first: 1"],
        ),
        (
            [("7", "1"), ("8", "1")],
            [("7", "1")],
            ["store 8 has 1 photos but no receipts; no store has receipts but no photos"],
        ),
        ([("7", "1")], [("7", "1"), ("8", "1")], []),
    ],
)
def test_a_store_or_till_with_photos_but_no_receipts_is_named_with_its_likely_other_name(
    settings: Settings, photos: list[tuple[str, str]], receipts: list[tuple[str, str]], findings: list[str]
) -> None:
    lines = [line(store_id=store, till_id=till) for store, till in receipts]
    changed = {CHECKOUT_PHOTOS: photos_at(*photos), TRANSACTION_LINES: lines}
    assert results(settings, changed)["photos and receipts name the same stores and tills"].findings == findings


def test_a_chain_of_stores_without_receipts_is_told_in_a_few_sentences(settings: Settings) -> None:
    changed = {CHECKOUT_PHOTOS: photos_at(*((f"s{number:02}", "1") for number in range(15)))}
    findings = results(settings, changed)["photos and receipts name the same stores and tills"].findings
    assert len(findings) == 11
    assert findings[-1] == "and 5 more"


def test_a_single_photo_that_the_store_does_not_hand_out_is_a_row_and_stops_no_night(settings: Settings) -> None:
    rule = "the object store returns the photos that it listed"
    one, other = BROKEN_NIGHTS[rule][PHOTO_AGE_ESTIMATES]
    assert results(settings, {PHOTO_AGE_ESTIMATES: [one]})[rule].is_broken is False
    assert results(settings, {PHOTO_AGE_ESTIMATES: [one, other]})[rule].is_broken is True
    missing = [{"photo_key": key, "estimate_status": "missing", "estimate_reason": "it is not there"} for key in "ab"]
    assert results(settings, {PHOTO_AGE_ESTIMATES: missing})[rule].measured_value == 0


def test_the_share_of_another_date_is_that_of_receipts_or_photos_whichever_is_larger(settings: Settings) -> None:
    rule = "deliveries are of the business date"
    photos = [{"photo_key": str(number)} for number in range(99)]
    strange_photo = {"photo_key": "b", "key_problem": "in whatever words", "is_other_date": True}
    landed = {
        TRANSACTION_LINES: [line(line_number=number) for number in range(1, 20)],
        CHECKOUT_PHOTOS: [*photos, strange_photo],
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
    for table in NIGHT_TABLES:
        schema = pa.schema([field for field in table.schema if field.name != "run_id"])
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
    rule = "each alcohol sale is audited once, with a status and a reason"
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
    assert found["age_group_purchases adds up to the receipt lines"]["is_broken"] is None
    assert found["age_group_purchases adds up to the receipt lines"]["not_run_reason"].startswith("Binder Error: ")


def publish_receipts(settings: Settings, business_date: date, *receipts: dict[str, Any]) -> None:
    """Publish transaction_ages of another day."""
    other = Warehouse(ObjectStore(settings.warehouse_uri), "other")
    ages = pa.Table.from_pylist([ESTIMATED | receipt for receipt in receipts], TRANSACTION_AGES.schema)
    other.stage_arrow(TRANSACTION_AGES, business_date, ages.drop_columns("run_id"))
    other.promote(TRANSACTION_AGES, business_date)


def test_neighbour_days_are_asked_for_receipts_near_the_midnights_only(settings: Settings) -> None:
    near, far = {"closed_at": at("20:30:00")}, {"closed_at": at("23:30:00"), "transaction_id": "t2"}
    day_after = BUSINESS_DATE + timedelta(days=1)
    publish_receipts(settings, day_after, near, far)
    publish_receipts(settings, BUSINESS_DATE - timedelta(days=2), near)
    day = business_day(BUSINESS_DATE, settings.time_zone, settings.business_date_allowance_minutes)
    receipts = neighbour_receipts(Warehouse(ObjectStore(settings.warehouse_uri), "run-1"), day)
    assert receipts.to_pylist() == [BUYER | near | {"business_date": day_after}]


def test_a_worse_run_fails_unless_it_is_built_again_from_published_tables(settings: Settings) -> None:
    warehouse = staged_night(settings, {})
    runs = Warehouse(ObjectStore(settings.warehouse_uri), "good")
    runs.runs.write(BUSINESS_DATE, RUN_BEFORE | {"published_at": at("03:00:00")})
    with pytest.raises(FailedCheckError, match="1 receipts, but the published run good has 20"):
        check_night.run(warehouse, BUSINESS_DATE, settings)
    check_night.run(warehouse, BUSINESS_DATE, settings, is_built_again=True)
    assert warehouse.staging.check_warnings(BUSINESS_DATE) == []
