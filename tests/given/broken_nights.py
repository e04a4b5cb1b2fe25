"""Nights that break a rule each, as rows that differ from those of the sound night."""

from decimal import Decimal
from typing import Any

from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.landed import (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    PHOTO_COVERAGE,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_LINES,
)
from tests.given.rows import at, line
from tests.given.sound_night import (
    AFFINITY,
    BUYER,
    COVERAGE,
    ESTIMATED,
    NOTHING_AUDITED,
    PURCHASES,
    SOUND_NIGHT,
    UNCHECKED_SALE,
)

HOURS = range(10, 20)


def rejected(line_in_file: int, source_file: str = "a.csv", **given: Any) -> dict[str, Any]:
    reason = {"rejection_reason": f"'{source_file}' or a line of it is broken", "rejection_kind": "sku is missing"}
    return {"source_file": source_file, "line_in_file": line_in_file} | reason | given


SCHEMA_RULE = "every table has the columns that it declares"
BROKEN_NIGHTS = {
    "a key is there once": {TRANSACTION_LINES: [line(), line()]},
    "every row has its key": {CHECKOUT_PHOTOS: [{"photo_key": None}, {"photo_key": "a"}]},
    "no row is of another date": {TRANSACTION_LINES: [line(closed_at=at("23:00:00"))]},
    "what landed is of the business date": {
        REJECTED_TRANSACTION_LINES: [
            {
                "source_file": "a.csv",
                "line_in_file": 7,
                "rejection_reason": "in whatever words",
                "is_other_date": True,
            }
        ]
    },
    "the store hands out the photos that it listed": {
        PHOTO_AGE_ESTIMATES: [
            {
                "photo_key": "a",
                "estimate_status": "unreadable_object",
                "estimate_reason": "photo 'a' cannot be read: 503",
            },
            {"photo_key": "b", "estimate_status": "replaced", "estimate_reason": "photo 'b' is another"},
        ]
    },
    "ten photos in, ten rows out": {PHOTO_AGE_ESTIMATES: SOUND_NIGHT[PHOTO_AGE_ESTIMATES][:1]},
    "a photo without an estimate has a reason": {
        PHOTO_AGE_ESTIMATES: [
            {"photo_key": "a", "estimate_status": "estimated"},
            {"photo_key": "b", "estimate_status": "empty"},
        ]
    },
    "a rejected line has a reason": {REJECTED_TRANSACTION_LINES: [{"source_file": "a.csv", "line_in_file": 7}]},
    "each transaction of the log has one row of ages": {TRANSACTION_AGES: []},
    "receipt files can be read to their end": {REJECTED_TRANSACTION_LINES: [rejected(0)]},
    "most receipt lines keep the contract": {REJECTED_TRANSACTION_LINES: [rejected(7)]},
    "not all that the stores delivered is refused": {
        REJECTED_TRANSACTION_LINES: [rejected(7, is_repeat=True)],
        TRANSACTION_LINES: [],
    },
    "a photo belongs to one transaction at most": {TRANSACTION_AGES: [ESTIMATED | {"photo_keys": ["a", "a"]}]},
    "age_group_purchases adds up to the log": {AGE_GROUP_PURCHASES: [PURCHASES | {"net_amount": 4}]},
    "estimates of age_group_purchases add up to its counts": {
        AGE_GROUP_PURCHASES: [PURCHASES | {"estimated_quantity": 1.99}]
    },
    "an affinity has an index or a reason": {AGE_GROUP_AFFINITY: [AFFINITY]},
    "each alcohol sale of the log is audited once, with a status and a reason": {ALCOHOL_SALE_AUDIT: []},
    "each review case is an unchecked sale of the audit": {
        ALCOHOL_SALE_AUDIT: [UNCHECKED_SALE | {"audit_status": "id_shown"}]
    },
    "review cases have the ranks 1 to n": {
        ALCOHOL_REVIEW_CASES: [{"case_id": "c1", "review_rank": 1}, {"case_id": "c1", "review_rank": 3}]
    },
    "photo_coverage adds up to the photos and the transactions": {PHOTO_COVERAGE: []},
    "photo_coverage has a reason for each transaction and photo that does not count": {
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
    "receipt lines keep the contract": {
        REJECTED_TRANSACTION_LINES: [
            {"source_file": "a.csv", "line_in_file": 7, "rejection_reason": "sku is missing", "is_repeat": True}
        ]
    },
}
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
