from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobs.tables.review_precision
import jobs.tables.reviewed_cases
from jobs.landing.deliveries import landed_outcomes
from jobs.landing.landed_files import OUTCOME_FIELDS, landed_schema
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, REVIEW_PRECISION, REVIEWED_CASES
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.tables.reviewed_cases import CASE_COLUMNS, OUTCOMES, reviewed_cases
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at

LATER = "2026-11-23T09:30:00Z"
HEADER = ",".join(OUTCOME_FIELDS)
FOLDER = f"reviewed_cases/business_date={BUSINESS_DATE}"


def case(case_id: str, **given: Any) -> dict[str, Any]:
    defaults = {
        "case_id": case_id,
        "closed_at": at("18:31:00"),
        "review_rank": 1,
        "under_legal_age_probability": 0.6,
        "model_version": "m",
        "run_id": "night",
    }
    return defaults | given


def list_of(*cases: dict[str, Any]) -> dict[date, pa.Table]:
    return {BUSINESS_DATE: pa.Table.from_pylist(list(cases), ALCOHOL_REVIEW_CASES.schema).select(CASE_COLUMNS)}


def outcome(line: int, case_id: str | None, reviewed_at: str | None, found: str | None) -> dict[str, Any]:
    return {
        "source_file": "a.csv",
        "line_in_file": line,
        **dict(zip(OUTCOME_FIELDS, (case_id, reviewed_at, found), strict=True)),
    }


def reviewed(*outcomes: dict[str, Any], cases: Sequence[str] = ("c1", "c2")) -> list[dict[str, Any]]:
    landed = {BUSINESS_DATE: pa.Table.from_pylist(list(outcomes), landed_schema(OUTCOME_FIELDS))}
    return reviewed_cases(landed, list_of(*map(case, cases))).to_pylist()


def test_an_outcome_of_a_listed_case_counts_and_has_what_the_list_said() -> None:
    (row,) = reviewed(outcome(1, "c1", LATER, "under_age"))
    assert row == {
        "source_file": "a.csv",
        "line_in_file": 1,
        "case_business_date": BUSINESS_DATE,
        "case_id": "c1",
        "reviewed_at": datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        "reviewer_outcome": "under_age",
        "outcome_status": "counted",
        "outcome_reason": None,
        "landed_line": '{"case_id": "c1", "reviewed_at": "2026-11-23T09:30:00Z", "reviewer_outcome": "under_age"}',
        "review_rank": 1,
        "under_legal_age_probability": 0.6,
        "model_version": "m",
        "case_run_id": "night",
    }


@pytest.mark.parametrize(
    ("landed", "reason"),
    [
        ((None, LATER, "of_age"), "case_id is missing"),
        (("c1", " ", ""), "reviewed_at is missing; reviewer_outcome is missing"),
        (("c1", "monday", "of_age"), "reviewed_at 'monday' is not a time such as 2026-11-23T09:30:00Z"),
        (("c1", "2026-11-31T09:30", "of_age"), "reviewed_at '2026-11-31T09:30' is not a time such as"),
        (("c1", "0001-01-01T00:00+14:00", "of_age"), "reviewed_at '0001-01-01T00:00+14:00' is not a time such as"),
        (("c1", "2026-11-20T18:30:59Z", "of_age"), "reviewed_at '2026-11-20T18:30:59Z' is before the sale"),
        (("c1", LATER, "guilty"), "reviewer_outcome 'guilty' is none of under_age, of_age, cannot_tell, wrong_photo"),
    ],
)
def test_an_outcome_that_breaks_the_contract_stays_with_the_reason(
    landed: tuple[str | None, str | None, str | None], reason: str
) -> None:
    (row,) = reviewed(outcome(1, *landed))
    assert (row["outcome_status"], row["landed_line"] is not None) == ("rejected", True)
    assert row["outcome_reason"].startswith(reason)


def test_an_outcome_of_no_listed_case_is_kept_and_not_counted() -> None:
    (row,) = reviewed(outcome(1, "c9", LATER, "of_age"))
    assert (row["outcome_status"], row["outcome_reason"]) == (
        "not_listed",
        "case 'c9' is not on the published list of 2026-11-20",
    )


def test_of_several_outcomes_of_a_case_the_latest_counts() -> None:
    rows = reviewed(
        outcome(1, "c1", "2026-11-24T09:00:00Z", "under_age"),
        outcome(2, "c1", "2026-11-23T09:00:00Z", "of_age"),
        outcome(3, "c1", "2026-11-24T12:00:00+03:00", "cannot_tell"),
        outcome(4, "c1", "2026-11-25T12:00:00Z", "guilty"),
        outcome(5, "c2", "2026-11-23T09:00:00", "of_age"),
    )
    assert [row["outcome_status"] for row in rows] == ["replaced", "replaced", "counted", "rejected", "counted"]
    assert rows[0]["outcome_reason"] == "the outcome in line 3 of a.csv counts"


def test_files_of_a_day_are_read_like_receipts(landing: ObjectStore) -> None:
    landing.write(f"{FOLDER}/a.csv", f"{HEADER},reviewer\nc1,{LATER},of_age,someone\nc2,{LATER}\n".encode())
    landing.write(f"{FOLDER}/b.jsonl", b'{"case_id": "c2"\n')
    landing.write(f"{FOLDER}/_SUCCESS", b"")
    landing.write("reviewed_cases/business_date=2026-11-21/a.csv", f"{HEADER}\nc2,{LATER},of_age\n".encode())
    rows = reviewed_cases({BUSINESS_DATE: landed_outcomes(landing, BUSINESS_DATE)}, list_of(case("c1"))).to_pylist()
    assert [(row["source_file"], row["line_in_file"], row["outcome_status"]) for row in rows] == [
        (f"{FOLDER}/a.csv", 2, "counted"),
        (f"{FOLDER}/a.csv", 3, "rejected"),
        (f"{FOLDER}/b.jsonl", 1, "rejected"),
        (f"{FOLDER}/b.jsonl", 0, "rejected"),
    ]
    assert rows[1]["outcome_reason"] == "has 2 fields, but the header has 4"
    assert "someone" not in str(rows[0])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["c1", "c2", "c9", "", None]),
            st.one_of(st.none(), st.text(max_size=8), st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M}")),
            st.sampled_from([*OUTCOMES, "other", None]),
        ),
        max_size=12,
    )
)
def test_each_record_is_one_row_and_one_outcome_of_a_case_counts_at_most(
    landed: list[tuple[str | None, str | None, str | None]],
) -> None:
    rows = reviewed(*(outcome(line, *record) for line, record in enumerate(landed, start=1)))
    assert [row["line_in_file"] for row in rows] == list(range(1, len(landed) + 1))
    counted = [row["case_id"] for row in rows if row["outcome_status"] == "counted"]
    assert len(counted) == len(set(counted))
    assert all((row["outcome_status"] == "counted") == (row["outcome_reason"] is None) for row in rows)


@pytest.fixture
def window_of_two_lists(settings: Settings, landing: ObjectStore) -> Warehouse:
    """A warehouse with the lists of two days, and the landed outcomes of both."""
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "window")
    day_before = BUSINESS_DATE - timedelta(days=1)
    for day, cases in ((day_before, [case("c1"), case("c2")]), (BUSINESS_DATE, [case("c3", run_id="other-night")])):
        lists = pa.Table.from_pylist(cases, ALCOHOL_REVIEW_CASES.schema)
        warehouse.published.write(ALCOHOL_REVIEW_CASES, day, lists)
    landing.write(
        f"reviewed_cases/business_date={day_before}/a.csv", f"{HEADER}\nc1,{LATER},under_age\nc2,{LATER},no\n".encode()
    )
    landing.write(f"{FOLDER}/a.csv", f"{HEADER}\nc3,{LATER},of_age\n".encode())
    return warehouse


def staged(warehouse: Warehouse, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    rows = warehouse.staging.read_arrow(table, BUSINESS_DATE, list(columns)).to_pylist()
    return [tuple(row[name] for name in columns) for row in rows]


def test_outcomes_of_all_days_of_a_window_become_its_precision(
    window_of_two_lists: Warehouse, settings: Settings
) -> None:
    for _ in ("once", "and again"):
        jobs.tables.reviewed_cases.run(window_of_two_lists, BUSINESS_DATE, settings)
        jobs.tables.review_precision.run(window_of_two_lists, BUSINESS_DATE, settings)
    assert staged(window_of_two_lists, REVIEWED_CASES, "case_id", "outcome_status", "run_id") == [
        ("c1", "counted", "window"),
        ("c2", "rejected", "window"),
        ("c3", "counted", "window"),
    ]
    columns = ("probability_band", "listed_case_count", "judged_case_count", "precision", "run_ids")
    assert staged(window_of_two_lists, REVIEW_PRECISION, *columns) == [
        ("0.6-0.7", 3, 2, 0.5, ["night", "other-night"]),
        ("all", 3, 2, 0.5, ["night", "other-night"]),
    ]


def test_a_window_without_lists_and_outcomes_has_no_rows(settings: Settings) -> None:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "window")
    jobs.tables.reviewed_cases.run(warehouse, BUSINESS_DATE, settings)
    jobs.tables.review_precision.run(warehouse, BUSINESS_DATE, settings)
    assert staged(warehouse, REVIEW_PRECISION, "probability_band") == []


HOSTILE_TEXTS = (
    *(
        "0001-01-01T00:00+18:00",
        "9999-12-31T23:59:59-12:00",
        "\u0662\u0660\u0662\u0666-11-23T09:30",
        "2026-11-23T24:00",
    ),
    *("2026-11-23T09:30 Europe/Moscow", "NaN", "=1+1", "c1\n", "\x00", "c1", "under_age", "", " ", LATER, "x" * 9_000),
)


@given(st.lists(st.tuples(*[st.none() | st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=4)] * 3), max_size=6))
def test_any_outcome_is_a_row_with_a_status_and_a_reason_where_it_does_not_count(
    landed: list[tuple[str | None, str | None, str | None]],
) -> None:
    rows = reviewed(*(outcome(line, *fields) for line, fields in enumerate(landed, 1)))
    assert [row["line_in_file"] for row in rows] == list(range(1, len(landed) + 1))
    assert all((row["outcome_status"] == "counted") != bool(row["outcome_reason"]) for row in rows)
