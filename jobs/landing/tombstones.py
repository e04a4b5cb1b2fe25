"""tombstones: reads the records of erased people, and leaves these people out of a day's photos and receipt lines.

    {warehouse}/_erased/business_date=D/{run_id}/tombstone.json    one per person, written before anything is deleted
    {warehouse}/_erased/business_date=D/{run_id}/proof.json        written by `erase` when a search finds nothing more

A tombstone holds sha256 hashes of the erased photo and receipt keys, never the keys. Every later run of the day leaves
out all rows with such a key, whatever is delivered again. A day without tombstones costs one listing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.errors import InputError
from jobs.landing.landed_ids import WHOLE_NUMBER_IN_TEXT
from jobs.schemas.alcohol import REVIEWED_CASES
from jobs.schemas.landed import CHECKOUT_PHOTOS, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.table import TRANSACTION_KEY
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import StagedTable
from jobs.warehouse.warehouse import Warehouse

FOLDER = "_erased"
KEY = TRANSACTION_KEY
FILTERED_TABLES = (CHECKOUT_PHOTOS, TRANSACTION_LINES, REJECTED_TRANSACTION_LINES)
"""Tables that a night reads from the landing; its other tables are made from these. A table missing here could bring
erased people back.
"""
HASHES = ("transactions", "transaction_ids", "photos", "cases")
BETWEEN_WORDS = r"(?:[\s,;|\"'{}\[\]()=]:*)+"
"""Separators between the words of a record that could not be split into fields."""


@dataclass(frozen=True)
class ErasedPeople:
    """Hashes of everyone who was erased from one business date."""

    business_date: date
    erasure_count: int = 0
    transactions: frozenset[str] = field(default_factory=frozenset)
    transaction_ids: frozenset[str] = field(default_factory=frozenset)
    photos: frozenset[str] = field(default_factory=frozenset)
    cases: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_empty(self) -> bool:
        """Whether nobody was erased from the date."""
        return not (self.transactions or self.photos)

    def __or__(self, other: ErasedPeople) -> ErasedPeople:
        """Return the hashes of both; they are of the same day."""
        return replace(
            self,
            erasure_count=self.erasure_count + other.erasure_count,
            transactions=self.transactions | other.transactions,
            transaction_ids=self.transaction_ids | other.transaction_ids,
            photos=self.photos | other.photos,
            cases=self.cases | other.cases,
        )

    def has_transaction(self, store_id: str | None, till_id: str | None, transaction_id: str | None) -> bool:
        """Say whether a transaction is erased. Without store or till, say whether any erased transaction has its id."""
        if store_id and till_id:
            return self._hash("transaction", store_id, till_id, transaction_id) in self.transactions
        return self._hash("transaction_id", transaction_id) in self.transaction_ids

    def has_photo(self, photo_key: str) -> bool:
        """Say whether a photo is erased."""
        return self._hash("photo", photo_key) in self.photos

    def has_case(self, case_id: str | None) -> bool:
        """Say whether a case belongs to an erased transaction."""
        return self._hash("case", case_id) in self.cases

    def has_landed_line(self, landed_line: str) -> bool:
        """Say whether a rejected line, given as JSON or text, belongs to an erased transaction."""
        record = _json_record(landed_line)
        if transaction_id := record.get("transaction_id"):
            return self.has_transaction(record.get("store_id"), record.get("till_id"), transaction_id)
        # Without a readable id, every word of the line might be one: too much is left out rather than too little.
        words = re.split(BETWEEN_WORDS, re.sub(WHOLE_NUMBER_IN_TEXT, r"\1", landed_line))
        return any(self._hash("transaction_id", word) in self.transaction_ids for word in words)

    def _hash(self, kind: str, *key: str | None) -> str:
        return key_hash(self.business_date, kind, *key)


def key_hash(business_date: date, kind: str, *key: str | None) -> str:
    """Return the sha256 of a JSON array of kind, date and key, such as ["photo","2026-11-20","photos/…jpg"]."""
    # Separators and letters as Spark's to_json writes them: `_is_any` must compute the same hash.
    parts = json.dumps([kind, business_date.isoformat(), *key], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()


def tombstones(store: ObjectStore, business_date: date) -> list[dict[str, Any]]:
    """Return the contents of a day's tombstone files, in order of the runs that wrote them."""
    folder = f"{FOLDER}/business_date={business_date.isoformat()}"
    keys = sorted(entry.key for entry in store.list(folder) if entry.key.endswith("/tombstone.json"))
    return [json.loads(store.read(key)) for key in keys]


def days_with_tombstones(store: ObjectStore) -> list[date]:
    """Return the business dates from which at least one person was erased, in order."""
    folders, _ = store.list_folder(FOLDER)
    return sorted(date.fromisoformat(folder.rpartition("=")[2]) for folder in folders)


def read_erased(store: ObjectStore, business_date: date) -> ErasedPeople:
    """Read all tombstones of a day, and return the hashes of everyone erased from it."""
    erased = ErasedPeople(business_date)
    for tombstone in tombstones(store, business_date):
        erased |= of_tombstone(business_date, tombstone)
    return erased


def of_tombstone(business_date: date, tombstone: dict[str, Any]) -> ErasedPeople:
    """Return the hashes that one tombstone holds."""
    hashes = {name: frozenset(tombstone[name]) for name in HASHES}
    return ErasedPeople(business_date, erasure_count=1, **hashes)


def without_erased_photos(photos: DataFrame, erased: ErasedPeople) -> DataFrame:
    """Leave out rows of checkout_photos that are erased, or that name an erased transaction in their key."""
    if erased.is_empty:
        return photos
    is_erased = _is_any("photo", ["photo_key"], erased, erased.photos)
    # A photo that is delivered after the erasure is in no tombstone, but its key may name the erased transaction.
    is_of_erased = F.col("transaction_id").isNotNull() & _is_any("transaction", KEY, erased, erased.transactions)
    return photos.where(~(is_erased | is_of_erased))


def without_erased_lines(lines: DataFrame, erased: ErasedPeople) -> DataFrame:
    """Leave out rows of transaction_lines that belong to erased transactions."""
    return lines if erased.is_empty else lines.where(~_is_any("transaction", KEY, erased, erased.transactions))


def without_erased_landed_lines(landed_lines: DataFrame, erased: ErasedPeople) -> DataFrame:
    """Leave out delivered receipt lines of erased transactions, including lines that would be rejected."""
    return landed_lines if erased.is_empty else landed_lines.where(~_is_erased_landed_line(landed_lines, erased))


def erased_line_count(landed_lines: DataFrame, erased: ErasedPeople) -> int:
    """Count the delivered receipt lines that `without_erased_landed_lines` leaves out."""
    return 0 if erased.is_empty else landed_lines.where(_is_erased_landed_line(landed_lines, erased)).count()


def without_erased_rejected_lines(rejected_lines: DataFrame, erased: ErasedPeople) -> DataFrame:
    """Leave out rows of rejected_transaction_lines that belong to erased transactions."""
    if erased.is_empty:
        return rejected_lines
    record = F.from_json("landed_line", ", ".join(f"{name} string" for name in KEY))
    is_erased = _is_of_erased({name: record[name] for name in KEY}, F.col("landed_line"), erased)
    return rejected_lines.where(~is_erased)


def without_erased_outcomes(outcomes: pa.Table, erased: ErasedPeople) -> pa.Table:
    """Leave out reviewers' outcomes for cases of erased transactions, also in lines that could not be parsed.

    `outcomes` has the rows of `deliveries.landed_outcomes`.
    """
    if erased.is_empty:
        return outcomes
    is_kept = [not _is_erased_outcome(outcome, erased) for outcome in outcomes.to_pylist()]
    return outcomes.filter(pa.array(is_kept, pa.bool_()))


def refuse_if_begun_before_an_erasure(
    warehouse: Warehouse, business_date: date, staged: Mapping[str, StagedTable]
) -> None:
    """Raise InputError if a run read its input before a person was erased from the day: its tables hold that person."""
    count = len(tombstones(warehouse.store, business_date))
    _refuse_unless_respected(
        warehouse, business_date, [staged[table.name] for table in FILTERED_TABLES], count, "its tasks"
    )


def refuse_window_begun_before_an_erasure(warehouse: Warehouse, business_date: date, days: Iterable[date]) -> None:
    """Raise InputError if a run read reviewers' outcomes before a person was erased from a day of the window."""
    count = sum(erased.erasure_count for erased in erased_of_days(warehouse.store, days).values())
    outcomes = warehouse.staging.staged(REVIEWED_CASES, business_date)
    _refuse_unless_respected(warehouse, business_date, [outcomes], count, "the run")


def erased_of_days(store: ObjectStore, days: Iterable[date]) -> dict[date, ErasedPeople]:
    """Return the hashes of erased people by day, for those of the given days that have any."""
    with_tombstones = set(days_with_tombstones(store))
    return {day: read_erased(store, day) for day in days if day in with_tombstones}


def _refuse_unless_respected(
    warehouse: Warehouse, business_date: date, staged: Iterable[StagedTable], count: int, what: str
) -> None:
    for table in staged:
        if table.erasure_count != count:
            raise InputError(
                f"run '{warehouse.run_id}' of {business_date} read its input before someone was erased from that day; "
                f"clear {what}, so that the input is read again without the erased person"
            )


def _is_erased_landed_line(landed_lines: DataFrame, erased: ErasedPeople) -> Column:
    fields = {name: F.nullif(F.trim(F.col(name)), F.lit("")) for name in KEY}
    # Without these, the text is the line as delivered: a word in a file name is no id.
    others = [name for name in landed_lines.columns if name not in ("source_file", "line_in_file", "parse_problem")]
    return _is_of_erased(fields, F.coalesce("unparsed_line", F.to_json(F.struct(*others))), erased)


def _is_of_erased(fields: dict[str, Column], text: Column, erased: ErasedPeople) -> Column:
    """Judge a line by its key; by its id alone where store or till is missing; by its words where the id is missing."""
    store_id, till_id, transaction_id = (fields[name] for name in KEY)
    by_key = _is_any("transaction", [store_id, till_id, transaction_id], erased, erased.transactions)
    by_id = _is_any("transaction_id", [transaction_id], erased, erased.transaction_ids)
    words_of_ids = F.regexp_replace(F.coalesce(text, F.lit("")), WHOLE_NUMBER_IN_TEXT, "$1")
    by_words = F.exists(
        F.split(words_of_ids, BETWEEN_WORDS),
        lambda word: _is_any("transaction_id", [word], erased, erased.transaction_ids),
    )
    return F.when(transaction_id.isNull(), by_words).when(store_id.isNull() | till_id.isNull(), by_id).otherwise(by_key)


def _is_any(kind: str, key: Iterable[str | Column], erased: ErasedPeople, hashes: frozenset[str]) -> Column:
    """Say for each row whether its key_hash is among the hashes."""
    parts = F.to_json(F.array(F.lit(kind), F.lit(erased.business_date.isoformat()), *key))
    return F.sha2(parts, 256).isin(*hashes)


def _is_erased_outcome(outcome: dict[str, str | None], erased: ErasedPeople) -> bool:
    if case_id := (outcome["case_id"] or "").strip():
        return erased.has_case(case_id)
    return any(erased.has_case(word) for word in re.split(BETWEEN_WORDS, outcome["unparsed_line"] or ""))


def _json_record(text: str) -> dict[str, str]:
    """Read a rejected line that was a record with fields; return nothing for any other."""
    try:
        record = json.loads(text)
    # RecursionError: deeply nested brackets in a hostile line.
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in record.items() if isinstance(value, str)} if isinstance(record, dict) else {}
