"""case_ids: computes case_id, the id of a sale for reviewers: a hash of the sale's date, store, till and receipt.

It exists twice: as a Spark column for the nights, and in Python for one sale. Both must give the same id, because an
erasure finds a person's cases with the second.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import TYPE_CHECKING

from jobs.schemas.table import TRANSACTION_KEY

if TYPE_CHECKING:
    from pyspark.sql import Column

CASE_ID_DIGITS = 16
"""Hexadecimal digits of an id. With another number, outcomes for cases listed before would match no case."""


def case_ids(business_date: date) -> Column:
    """Return the Spark column of the case_id of each row, from its store_id, till_id and transaction_id."""
    from pyspark.sql import functions as F

    parts = F.to_json(F.array(F.lit(business_date.isoformat()), *TRANSACTION_KEY))
    return F.substring(F.sha2(parts, 256), 1, CASE_ID_DIGITS)


def case_id(business_date: date, store_id: str, till_id: str, transaction_id: str) -> str:
    """Return the case_id of one transaction, without Spark."""
    key = [business_date.isoformat(), store_id, till_id, transaction_id]
    # Separators and letters as Spark's to_json writes them, or the two forms would differ.
    parts = json.dumps(key, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()[:CASE_ID_DIGITS]
