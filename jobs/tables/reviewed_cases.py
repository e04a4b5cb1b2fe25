"""reviewed_cases: the reviewers' outcomes for the cases of a window's days, and which of them count.

Outcomes are delivered days after the night that listed the cases, in files below `reviewed_cases/business_date=D/` of
the landing, where D is the day of the cases. They are judged like receipt lines: an outcome that breaks the contract
keeps a row, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from jobs.landing.deliveries import landed_outcomes
from jobs.landing.landed_files import OUTCOME_FIELDS
from jobs.landing.tombstones import erased_of_days, without_erased_outcomes
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, REVIEWED_CASES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse

OUTCOMES = ("under_age", "of_age", "cannot_tell", "wrong_photo")
CASE_COLUMNS = ["case_id", "closed_at", "review_rank", "under_legal_age_probability", "model_version", "run_id"]
INSTANT_TEXT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*"
SCHEMA = REVIEWED_CASES.schema_without("run_id")

Row = dict[str, Any]


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    days = settings.window(business_date)
    landing = ObjectStore(settings.landing_uri)
    erased = erased_of_days(warehouse.store, days)
    landed = {day: landed_outcomes(landing, day) for day in days}
    # Days without erasures are not in `erased` and stay as they were delivered.
    kept = landed | {day: without_erased_outcomes(landed[day], erased_of_day) for day, erased_of_day in erased.items()}
    review_cases = warehouse.published.read_days(ALCOHOL_REVIEW_CASES, days, CASE_COLUMNS)
    erasure_count = sum(erased_of_day.erasure_count for erased_of_day in erased.values())
    outcomes = reviewed_cases(kept, review_cases)
    warehouse.stage_arrow(REVIEWED_CASES, business_date, outcomes, Origin(erasure_count=erasure_count))


def reviewed_cases(landed: Mapping[date, pa.Table], review_cases: Mapping[date, pa.Table]) -> pa.Table:
    """Judge the outcomes delivered for each day against the cases listed that day. Returns a row per delivered record.

    If a case has several outcomes, the latest counts; of those at the same moment, the last by file and line.
    """
    rows: list[Row] = []
    for day, outcomes in landed.items():
        cases = {case["case_id"]: case for case in review_cases[day].to_pylist()} if day in review_cases else {}
        judged = [_judged(day, outcome, cases) for outcome in outcomes.to_pylist()]
        rows += _latest_counted(judged)
    return pa.Table.from_pylist(rows, SCHEMA)


def _judged(day: date, landed: Row, cases: Mapping[str, Row]) -> Row:
    """Type one record and give it its status; a valid outcome is `counted` until a later one replaces it."""
    case_id, reviewed_at, outcome = ((landed[name] or "").strip() or None for name in OUTCOME_FIELDS)
    case = cases.get(case_id or "", {})
    typed = {
        "case_id": case_id,
        "reviewed_at": _instant(reviewed_at),
        "reviewer_outcome": outcome if outcome in OUTCOMES else None,
    }
    broken = landed["parse_problem"] or "; ".join(_broken_rules(typed, reviewed_at, outcome, case))
    status, reason = ("rejected", broken) if broken else ("counted", None)
    if not broken and not case:
        status, reason = "not_listed", f"case '{case_id}' is not on the published list of {day}"
    return typed | {
        "source_file": landed["source_file"],
        "line_in_file": landed["line_in_file"],
        "case_business_date": day,
        "outcome_status": status,
        "outcome_reason": reason,
        "landed_line": landed["unparsed_line"] or json.dumps({name: landed[name] for name in OUTCOME_FIELDS}),
        "review_rank": case.get("review_rank"),
        "under_legal_age_probability": case.get("under_legal_age_probability"),
        "model_version": case.get("model_version"),
        "case_run_id": case.get("run_id"),
    }


def _broken_rules(typed: Row, reviewed_at: str | None, outcome: str | None, case: Row) -> Iterable[str]:
    if typed["case_id"] is None:
        yield "case_id is missing"
    if reviewed_at is None:
        yield "reviewed_at is missing"
    elif typed["reviewed_at"] is None:
        yield f"reviewed_at '{reviewed_at[:60]}' is not a time such as 2026-11-23T09:30:00Z"
    elif case and typed["reviewed_at"] < case["closed_at"]:
        yield f"reviewed_at '{reviewed_at[:60]}' is before the sale"
    if outcome is None:
        yield "reviewer_outcome is missing"
    elif typed["reviewer_outcome"] is None:
        yield f"reviewer_outcome '{outcome[:60]}' is none of {', '.join(OUTCOMES)}"


def _instant(text: str | None) -> datetime | None:
    """Read a time, as UTC where it names no zone; None where it cannot be read."""
    # fromisoformat also accepts forms that the contract does not, such as 20261123T0930.
    if text is None or not re.fullmatch(INSTANT_TEXT, text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    # A time at the edge of the calendar overflows when it is moved to UTC.
    except (ValueError, OverflowError):
        return None


def _latest_counted(rows: list[Row]) -> list[Row]:
    """Let only the latest outcome of each case count."""
    by_time = sorted(rows, key=lambda row: (row["reviewed_at"] or datetime.min.replace(tzinfo=UTC), _place(row)))
    # In order of time, a later outcome of the same case overwrites an earlier one.
    latest = {row["case_id"]: _place(row) for row in by_time if row["outcome_status"] == "counted"}
    return [row if _place(row) == latest.get(row["case_id"]) else _replaced(row, latest) for row in rows]


def _replaced(row: Row, latest: Mapping[str, tuple[str, int]]) -> Row:
    if row["outcome_status"] != "counted":
        return row
    source_file, line = latest[row["case_id"]]
    return row | {"outcome_status": "replaced", "outcome_reason": f"the outcome in line {line} of {source_file} counts"}


def _place(row: Row) -> tuple[str, int]:
    return row["source_file"], row["line_in_file"]
