from datetime import date
from itertools import product
from math import prod
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, REVIEW_PRECISION, REVIEWED_CASES
from jobs.steps.rules.window_rules import RULES
from jobs.tables.review_precision import (
    CASE_COLUMNS,
    OUTCOME_COLUMNS,
    calibration_p_value,
    precision_interval,
    review_precision,
)
from tests.given.rows import BUSINESS_DATE

QUERIES = {rule.name: rule.query for rule in RULES}
FIRST_DATE = date(2026, 10, 24)


def listed(*probabilities: float, **given: Any) -> dict[date, pa.Table]:
    """A list of cases that are numbered c0, c1, …"""
    rows = [
        {"case_id": f"c{number}", "under_legal_age_probability": probability, "model_version": "m", "run_id": "night"}
        | given
        for number, probability in enumerate(probabilities)
    ]
    return {BUSINESS_DATE: pa.Table.from_pylist(rows, ALCOHOL_REVIEW_CASES.schema).select(CASE_COLUMNS)}


def found(*outcomes: str | None, status: str = "counted") -> pa.Table:
    """What was found in the cases c0, c1, …; None where a case was not reviewed."""
    rows = [
        {
            "case_business_date": BUSINESS_DATE,
            "case_id": f"c{number}",
            "reviewer_outcome": outcome,
            "outcome_status": status,
        }
        for number, outcome in enumerate(outcomes)
        if outcome
    ]
    return pa.Table.from_pylist(rows, REVIEWED_CASES.schema).select(OUTCOME_COLUMNS)


def bands(cases: dict[date, pa.Table], outcomes: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["probability_band"]: row for row in review_precision(cases, outcomes, FIRST_DATE).to_pylist()}


def test_precision_is_the_share_of_judged_cases_found_under_age() -> None:
    cases = listed(0.9, 0.6, 0.61, 0.62, 0.1)
    everyone = bands(cases, found("under_age", "under_age", "of_age", "cannot_tell", "wrong_photo"))["all"]
    assert {name: everyone[name] for name in everyone if name.endswith("_count") and "expected" not in name} == {
        "listed_case_count": 5,
        "reviewed_case_count": 5,
        "cannot_tell_case_count": 1,
        "wrong_photo_case_count": 1,
        "judged_case_count": 3,
        "under_age_case_count": 2,
    }
    assert everyone["precision"] == pytest.approx(2 / 3)
    assert everyone["expected_under_age_case_count"] == pytest.approx(2.11)
    assert everyone["expected_precision"] == pytest.approx(2.11 / 3)
    assert (everyone["window_first_date"], everyone["run_ids"]) == (FIRST_DATE, ["night"])


def test_each_band_of_probability_has_its_own_row() -> None:
    rows = bands(listed(0.1, 0.19, 0.2, 1.0), found("of_age", "of_age", None, "under_age"))
    assert {band: (row["listed_case_count"], row["under_age_case_count"]) for band, row in rows.items()} == {
        "0.1-0.2": (2, 0),
        "0.2-0.3": (1, 0),
        "0.9-1.0": (1, 1),
        "all": (4, 1),
    }


def test_a_band_that_nobody_judged_has_no_precision_and_says_so() -> None:
    row = bands(listed(0.2, 0.2), found("cannot_tell"))["all"]
    assert (row["precision"], row["precision_low"], row["calibration_p_value"]) == (None, None, None)
    assert row["precision_reason"] == "none of 2 listed cases has been judged under_age or of_age"


def test_outcomes_that_do_not_count_and_outcomes_of_another_day_change_nothing() -> None:
    outcomes = found("under_age", status="rejected")
    of_another_day = found("under_age").set_column(0, "case_business_date", pa.array([date(2026, 11, 19)], pa.date32()))
    everyone = bands(listed(0.2), pa.concat_tables([outcomes, of_another_day]))["all"]
    assert everyone["reviewed_case_count"] == 0


def test_each_age_model_has_its_own_precision() -> None:
    cases = listed(0.2) | {date(2026, 11, 19): listed(0.3, model_version="older")[BUSINESS_DATE]}
    rows = review_precision(cases, found("of_age"), FIRST_DATE).to_pylist()
    assert {(row["model_version"], row["listed_case_count"]) for row in rows} == {("m", 1), ("older", 1)}


def test_without_lists_there_is_no_row() -> None:
    assert review_precision({}, found(), FIRST_DATE).num_rows == 0


@pytest.mark.parametrize(("under_age", "judged"), [(3, 10), (1, 50), (40, 41)])
def test_the_interval_is_that_of_the_posterior_after_jeffreys(under_age: int, judged: int) -> None:
    draws = np.random.default_rng(5).beta(under_age + 0.5, judged - under_age + 0.5, 400_000)
    assert precision_interval(under_age, judged) == pytest.approx(tuple(np.quantile(draws, (0.05, 0.95))), abs=0.003)


def test_the_interval_ends_at_0_or_1_where_none_or_all_are_under_age() -> None:
    assert precision_interval(0, 8)[0] == 0.0
    assert precision_interval(8, 8)[1] == 1.0


def test_the_interval_holds_the_true_precision_nine_times_of_ten() -> None:
    counts = np.random.default_rng(3).binomial(60, 0.3, 2_000)
    ends = {count: precision_interval(int(count), 60) for count in set(counts.tolist())}
    held = np.mean([ends[count][0] <= 0.3 <= ends[count][1] for count in counts.tolist()])
    assert held == pytest.approx(0.9, abs=0.03)


def test_the_p_value_counts_all_ways_in_which_cases_can_turn_out() -> None:
    probabilities = [0.1, 0.2, 0.35, 0.5, 0.5, 0.8, 0.95]
    ways = list(product((0, 1), repeat=len(probabilities)))
    chances = [prod(p if way else 1 - p for p, way in zip(probabilities, ways, strict=True)) for ways in ways]
    for count in range(len(probabilities) + 1):
        at_most = sum(chance for way, chance in zip(ways, chances, strict=True) if sum(way) <= count)
        at_least = sum(chance for way, chance in zip(ways, chances, strict=True) if sum(way) >= count)
        assert calibration_p_value(count, probabilities) == pytest.approx(min(1.0, 2 * min(at_most, at_least)))


def test_calibrated_probabilities_pass_and_doubled_ones_do_not() -> None:
    random = np.random.default_rng(11)
    said = random.uniform(0.1, 0.7, (400, 150))
    calibrated = [
        calibration_p_value(int(row.sum()), p) for row, p in zip(random.random(said.shape) < said, said, strict=True)
    ]
    doubled = [
        calibration_p_value(int(row.sum()), p)
        for row, p in zip(random.random(said.shape) < said / 2, said, strict=True)
    ]
    assert np.mean(np.array(calibrated) <= 0.05) <= 0.07
    assert np.mean(np.array(doubled) <= 0.05) == 1.0


COUNTED = {"case_business_date": BUSINESS_DATE, "case_id": "c0", "outcome_status": "counted"}
PRECISION = {"reviewed_case_count": 1, "calibration_p_value": 0.5, "judged_case_count": 1, "under_age_case_count": 1}
SOUND = ([COUNTED], [PRECISION | {"probability_band": band} for band in ("all", "0.1-0.2")])
BROKEN_WINDOWS = {
    "a landed outcome that is not counted has a reason, and of a case one outcome counts at most": (
        [COUNTED, COUNTED, {"outcome_status": "rejected"}],
        SOUND[1],
    ),
    "review_precision adds up to the outcomes that count": ([COUNTED], SOUND[1][:1]),
    "landed outcomes of reviewed cases count": ([{"outcome_status": "rejected", "outcome_reason": "so"}], SOUND[1]),
    "reviewers find as many under age as P(under the legal age) says": (
        [COUNTED],
        [
            {"model_version": "m", "expected_under_age_case_count": 8.0}
            | PRECISION
            | {"probability_band": "all", "calibration_p_value": 0.001}
        ],
    ),
}


def sentences(rule: str, window: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> list[str]:
    """What a rule of check_window says of the rows of reviewed_cases and of review_precision."""
    with duckdb.connect() as connection:
        connection.register("reviewed_cases", pa.Table.from_pylist(window[0], REVIEWED_CASES.schema))
        connection.register("review_precision", pa.Table.from_pylist(window[1], REVIEW_PRECISION.schema))
        return [sentence for (sentence,) in connection.execute(QUERIES[rule]).fetchall()]


@pytest.mark.parametrize("rule", BROKEN_WINDOWS)
def test_a_rule_of_the_window_finds_what_it_is_for(rule: str) -> None:
    assert sentences(rule, SOUND) == []
    assert all(sentences(rule, BROKEN_WINDOWS[rule]))
    assert sentences(rule, BROKEN_WINDOWS[rule])


def test_a_warning_of_the_window_names_no_case() -> None:
    """The warning is published with the window. Someone who is erased later must not stay named in it."""
    outcome = {"outcome_status": "not_listed", "case_id": "c1", "outcome_reason": "case 'c1' is not on the list"}
    assert sentences("landed outcomes of reviewed cases count", ([COUNTED, outcome], SOUND[1])) == [
        "1 of 2 are rejected or not listed; reviewed_cases says why"
    ]
