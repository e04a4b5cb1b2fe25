from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from jobs.schemas.buyers import AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.settings import Settings
from tests.given.broken_nights import BROKEN_NIGHTS, rejected
from tests.given.rows import BUSINESS_DATE, at, line
from tests.given.sound_night import BUYER, ESTIMATED, NOTHING_AUDITED, PURCHASES, RUN_BEFORE, broken, results


def test_a_few_receipts_of_another_date_are_rejected_and_fail_nothing(settings: Settings) -> None:
    lines = [line(line_number=number) for number in range(1, 10)]
    found = results(
        settings,
        BROKEN_NIGHTS["what landed is of the business date"]
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
    assert found["what landed is of the business date"].measured_value == pytest.approx(0.1)


def test_exact_repeats_and_lines_of_another_date_do_not_count_as_rejected(settings: Settings) -> None:
    rule = "most receipt lines keep the contract"
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
        "most receipt lines keep the contract",
        "not all that the stores delivered is refused",
    ],
)
def test_where_a_day_is_built_again_a_rule_on_the_delivery_only_warns(settings: Settings, rule: str) -> None:
    found = results(settings, BROKEN_NIGHTS[rule], is_built_again=True)
    assert (found[rule].is_broken, found[rule].severity, found[rule].stops_publication) == (True, "warn", False)


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
    rule = "a day that is out is not replaced by a much smaller one"
    ages = {TRANSACTION_AGES: [ESTIMATED | {"transaction_id": f"t{number}"} for number in range(tonight)]}
    result = results(settings, ages, run_before=RUN_BEFORE)[rule]
    way_out = "; have the whole day delivered, or set CHECKOUT_AGES_MIN_REPUBLISHED_SHARE=0 to publish it anyway"
    assert result.findings == ([words + way_out] if words else [])
    assert (result.is_broken, result.measured_value) == (words is not None, pytest.approx(tonight / 20))
    insisting = settings.model_copy(update={"min_republished_share": 0.0})
    assert results(insisting, ages, run_before=RUN_BEFORE)[rule].is_broken is False


def test_a_small_day_may_be_replaced_by_a_smaller_one(settings: Settings) -> None:
    small = RUN_BEFORE | {"transaction_count": 19, "photographed_transaction_count": 19}
    result = results(settings, {}, run_before=small)["a day that is out is not replaced by a much smaller one"]
    assert (result.is_broken, result.measured_value) == (False, None)


def test_a_receipt_that_is_out_as_of_the_next_day_too_is_warned_of(settings: Settings) -> None:
    rule = "a receipt is of one business date"
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


def test_the_share_of_another_date_is_that_of_receipts_or_photos_whichever_is_larger(settings: Settings) -> None:
    rule = "what landed is of the business date"
    photos = [{"photo_key": str(number)} for number in range(99)]
    strange_photo = {"photo_key": "b", "key_problem": "in whatever words", "is_other_date": True}
    landed = {
        TRANSACTION_LINES: [line(line_number=number) for number in range(1, 20)],
        CHECKOUT_PHOTOS: [*photos, strange_photo],
    }
    assert results(settings, landed)[rule].measured_value == pytest.approx(0.01)
    assert results(settings, BROKEN_NIGHTS[rule] | landed)[rule].measured_value == pytest.approx(0.05)
    assert results(settings, BROKEN_NIGHTS[rule] | landed)[rule].is_broken is False
