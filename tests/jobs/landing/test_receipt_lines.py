"""The contract of one line, on Arrow batches, without Spark."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from jobs.landing.receipt_lines import judged_receipt_lines
from tests.given.landed_lines import DAY, LANDED, landed_batch
from tests.given.rows import at


def judged(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = judged_receipt_lines(landed_batch(*lines), DAY).to_pylist()
    return rows


def test_a_valid_line_is_typed_exactly() -> None:
    (line,) = judged({"quantity": "0.375", "net_amount": "-12345678901.10"})
    assert (line["quantity"], line["net_amount"]) == (Decimal("0.375"), Decimal("-12345678901.10"))
    assert (line["line_number"], line["is_alcohol"], line["closed_at"]) == (1, True, at("18:31:00"))
    assert (line["rejection_reason"], line["rejection_kind"], line["is_other_date"]) == (None, None, False)


@pytest.mark.parametrize(
    ("text", "number"),
    [("5.", "5"), ("+1.50000", "1.5"), ("-0", "0"), ("0012.1", "12.1"), (" 7 ", "7"), ("9999999999999999.99", None)],
)
def test_a_decimal_is_read_as_it_is_written_out(text: str, number: str | None) -> None:
    (line,) = judged({"net_amount": text})
    assert line["net_amount"] == Decimal(number or text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T18:31", datetime(2026, 11, 20, 18, 31)),
        ("2026-11-20 18:31:00.5", datetime(2026, 11, 20, 18, 31, 0, 500_000)),
        ("2026-11-20 18:31:00.123456789", datetime(2026, 11, 20, 18, 31, 0, 123_456)),
        ("2026-11-20T21:31:00+03:00", datetime(2026, 11, 20, 18, 31)),
        ("2026-11-20 18:31:00+00", datetime(2026, 11, 20, 18, 31)),
        ("2026-11-20 18:31:00 UTC", datetime(2026, 11, 20, 18, 31)),
    ],
)
def test_a_time_is_read_in_the_forms_that_databases_write_and_is_utc_where_it_names_no_zone(
    text: str, moment: datetime
) -> None:
    (line,) = judged({"closed_at": text})
    assert line["closed_at"] == moment.replace(tzinfo=UTC)


def test_fields_that_the_contract_calls_optional_may_be_missing() -> None:
    (line,) = judged({"opened_at": None, "id_check": " "})
    assert (line["opened_at"], line["id_check"], line["rejection_reason"]) == (None, None, None)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"transaction_id": None}, "transaction_id is missing"),
        ({"sku": "  "}, "sku is missing"),
        ({"store_id": "", "currency": None}, "store_id is missing; currency is missing"),
        ({"net_amount": "2.505"}, "net_amount '2.505' is not a decimal with at most 2 places"),
        ({"net_amount": "NaN"}, "net_amount 'NaN' is not a decimal with at most 2 places"),
        ({"quantity": "1e3"}, "quantity '1e3' is not a decimal with at most 3 places"),
        ({"line_number": "one"}, "line_number 'one' is not a whole number"),
        ({"line_number": "0"}, "line_number is under 1"),
        (
            {"closed_at": "2026-11-20T23:00:00Z"},
            "closed_at '2026-11-20T23:00:00Z' is not of business date 2026-11-20",
        ),
        (
            {"opened_at": None, "closed_at": "2026-11-19T23:59:59Z"},
            "closed_at '2026-11-19T23:59:59Z' is not of business date 2026-11-20",
        ),
        ({"closed_at": "yesterday"}, "closed_at 'yesterday' is not a time such as 2026-11-20T18:30:15Z"),
        ({"opened_at": "2026-11-20T19:00:00Z"}, "opened_at is after closed_at"),
        (
            {"opened_at": "0001-01-01T00:00:00Z"},
            "opened_at '0001-01-01T00:00:00Z' is not of business date 2026-11-20",
        ),
        (
            {"closed_at": "9999-12-31T23:59:59Z"},
            "closed_at '9999-12-31T23:59:59Z' is not of business date 2026-11-20",
        ),
        ({"closed_at": "292278994-08-17"}, "closed_at '292278994-08-17' is not a time such as 2026-11-20T18:30:15Z"),
        ({"quantity": "1e400"}, "quantity '1e400' is not a decimal with at most 3 places"),
        ({"quantity": "Infinity"}, "quantity 'Infinity' is not a decimal with at most 3 places"),
        ({"quantity": "\u0663"}, "quantity '\u0663' is not a decimal with at most 3 places"),
        ({"net_amount": f"1{'0' * 30}"}, f"net_amount '1{'0' * 30}' is not a decimal with at most 2 places"),
        ({"line_number": "\uff11"}, "line_number '\uff11' is not a whole number"),
        ({"line_number": f"1{'0' * 30}"}, f"line_number '1{'0' * 30}' is not a whole number"),
        (
            {"sku": None, "line_type": "x" * 9_000},
            f"sku is missing; line_type '{'x' * 60}' is none of sale, return, void",
        ),
        ({"line_type": "gift"}, "line_type 'gift' is none of sale, return, void"),
        ({"id_check": "maybe"}, "id_check 'maybe' is none of shown, refused_sale, not_asked"),
        (
            {"line_type": "void", "net_amount": "10.00"},
            "net_amount '10.00' of a return or void is above 0, and so is its quantity: give both a minus sign",
        ),
        ({"is_alcohol": "often"}, "is_alcohol 'often' is not true or false"),
    ],
)
def test_a_line_that_breaks_the_contract_is_rejected_with_the_reason(broken: dict[str, Any], reason: str) -> None:
    (line,) = judged(broken)
    assert line["rejection_reason"] == reason
    assert line["is_other_date"] == ("is not of business date" in reason)


def test_a_kind_of_rejection_holds_no_value_of_the_line() -> None:
    lines = judged({"net_amount": "Anna", "sku": None}, {"net_amount": "Boris", "sku": None}, {})
    kind = "sku is missing; net_amount is not a decimal with at most 2 places"
    assert [line["rejection_kind"] for line in lines] == [kind, kind, None]


def test_what_a_reader_says_of_a_record_comes_before_the_rules() -> None:
    unparsed = dict.fromkeys(LANDED) | {"source_file": "a.csv", "line_in_file": 3}
    lines = judged(
        unparsed | {"parse_problem": "has 2 fields", "unparsed_line": "bad,row"},
        unparsed | {"line_in_file": 0, "parse_problem": "file 'a.csv' is empty"},
    )
    assert [line["rejection_reason"] for line in lines] == ["has 2 fields", "file 'a.csv' is empty"]
    assert [line["rejection_kind"] for line in lines] == [
        "the record cannot be split into fields",
        "the file cannot be read whole",
    ]
    assert [line["is_other_date"] for line in lines] == [False, False]


@pytest.mark.parametrize(
    ("line_type", "quantity", "net_amount", "is_kept"),
    [
        ("return", "1", "10.00", False),
        ("void", "0.5", "0.01", False),
        ("return", "-1", "-10.00", True),
        ("void", "1", "-2.00", True),
        ("void", "-1", "2.00", True),
        ("return", "1", "0", True),
        ("sale", "1", "10.00", True),
        ("sale", "-1", "-10.00", True),
    ],
)
def test_a_return_or_void_is_rejected_where_both_its_figures_are_over_zero(
    line_type: str, quantity: str, net_amount: str, is_kept: bool
) -> None:
    (line,) = judged({"line_type": line_type, "quantity": quantity, "net_amount": net_amount})
    assert (line["rejection_reason"] is None) == is_kept


def test_text_is_kept_as_it_came_whatever_a_spreadsheet_or_a_terminal_would_make_of_it() -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "line\nbreak", "\x1b[31m", "\u202eabc", "x" * 10_000, "'; DROP TABLE"]
    assert [line["sku"] for line in judged(*({"sku": text} for text in texts))] == texts


def test_any_line_is_accepted_or_rejected_with_a_reason_and_none_is_lost() -> None:
    odd = [
        None,
        "",
        "NaN",
        "1e400",
        "-0",
        "\n",
        "\x00",
        "\u0663",
        "=1",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "x" * 9_000,
    ]
    fields = [name for name in LANDED if name not in ("source_file", "line_in_file")]
    random = Random(6)
    hostile = [
        {name: random.choice(odd) for name in random.sample(fields, random.randint(1, 3))} | {"line_in_file": number}
        for number in range(3000)
    ]
    batch = judged_receipt_lines(landed_batch(*hostile), DAY)
    assert batch["line_in_file"].to_pylist() == list(range(3000))
    batch.validate(full=True)
    typed = batch.filter(batch["rejection_reason"].is_null())
    assert 0 < typed.num_rows < 3000
    assert typed["closed_at"].null_count == typed["net_amount"].null_count == 0
    assert all(json.dumps(text) for text in batch["landed"].to_pylist())
