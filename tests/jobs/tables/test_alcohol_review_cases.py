from typing import Any

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.settings import Settings
from jobs.tables.alcohol_review_cases import alcohol_review_cases
from tests.given.duckdb_rows import rows_in_duckdb
from tests.given.rows import arrow_rows, at


def sale(case_id: str, probability: float, **given: Any) -> dict[str, Any]:
    """An audited sale that no check is logged of; its receipt is named like its case."""
    defaults = {
        "store_id": "0042",
        "till_id": "03",
        "transaction_id": case_id,
        "cashier_id": "c1",
        "closed_at": at("18:31:00"),
        "id_check": "not_asked",
        "legal_purchase_age_years": 18,
        "under_legal_age_probability": probability,
        "under_challenge_age_probability": 0.9,
        "audit_status": "possibly_under_age_unchecked",
        "case_id": case_id,
        "model_version": "m",
    }
    return defaults | given


def cases_of(settings: Settings, *sales: dict[str, Any]) -> list[dict[str, Any]]:
    photos = [
        {name: each[name] for name in TRANSACTION_KEY} | {"photo_keys": [f"{each['case_id']}.jpg"]} for each in sales
    ]
    rows = {
        ALCOHOL_SALE_AUDIT: arrow_rows(ALCOHOL_SALE_AUDIT, *sales),
        TRANSACTION_AGES: arrow_rows(TRANSACTION_AGES, *photos),
    }
    with rows_in_duckdb(rows) as connection:
        cases = alcohol_review_cases(connection, settings.review_case_minimum_probability, settings.review_case_limit)
    return cases.sort_by("review_rank").to_pylist()


def ranked(cases: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(case["review_rank"], case["case_id"]) for case in cases]


def test_the_likeliest_under_age_come_first_with_their_photos(settings: Settings) -> None:
    cases = cases_of(settings, sale("b", 0.3), sale("a", 0.6), sale("c", 0.4))
    assert [(case["review_rank"], case["case_id"], case["photo_keys"]) for case in cases] == [
        (1, "a", ["a.jpg"]),
        (2, "c", ["c.jpg"]),
        (3, "b", ["b.jpg"]),
    ]


def test_a_case_names_neither_cashier_nor_till_nor_receipt(settings: Settings) -> None:
    assert not {"cashier_id", "till_id", "transaction_id"} & set(ALCOHOL_REVIEW_CASES.column_names)
    (case,) = cases_of(settings, sale("a", 0.6))
    assert (case["store_id"], case["closed_at"].isoformat()) == ("0042", "2026-11-20T18:31:00+00:00")


def test_only_unchecked_sales_to_buyers_who_look_young_are_cases(settings: Settings) -> None:
    statuses = ("id_shown", "sale_refused", "sale_voided", "clearly_adult", "check_not_logged")
    sales = [sale(status, 0.3, audit_status=status) for status in (*statuses, "challenge_age_unchecked")]
    unjudged = sale("no_estimate", 0.3, audit_status="no_estimate", under_legal_age_probability=None)
    assert {case["case_id"] for case in cases_of(settings, *sales, unjudged)} == {
        "check_not_logged",
        "challenge_age_unchecked",
    }


def test_a_list_has_no_more_cases_than_its_limit(settings: Settings) -> None:
    short = settings.model_copy(update={"review_case_limit": 2})
    sales = [sale("b", 0.3), sale("a", 0.6), sale("c", 0.4)]
    assert ranked(cases_of(short, *sales)) == [(1, "a"), (2, "c")]
    assert cases_of(settings.model_copy(update={"review_case_limit": 0}), *sales) == []


def test_a_sale_under_the_minimum_probability_is_no_case(settings: Settings) -> None:
    lenient = settings.model_copy(update={"review_case_minimum_probability": 0.25})
    assert ranked(cases_of(lenient, sale("a", 0.24), sale("b", 0.25))) == [(1, "b")]


def test_ties_go_to_the_younger_look_and_then_to_the_case_id(settings: Settings) -> None:
    last_digit_is_chance = 0.6 + 1e-12
    cases = cases_of(
        settings,
        sale("d", 0.6),
        sale("c", last_digit_is_chance),
        sale("b", 0.6),
        sale("z", 0.6, under_challenge_age_probability=0.95),
    )
    assert ranked(cases) == [(1, "z"), (2, "b"), (3, "c"), (4, "d")]


def test_the_reason_says_which_check_is_missing_and_what_to_expect(settings: Settings) -> None:
    asked_for_nothing, not_logged = cases_of(
        settings, sale("a", 0.62), sale("b", 0.3, id_check=None, audit_status="check_not_logged")
    )
    assert asked_for_nothing["review_reason"] == "no ID was asked for; of 100 such buyers about 62 are under 18"
    assert not_logged["review_reason"] == "the till logs no ID check; of 100 such buyers about 30 are under 18"
