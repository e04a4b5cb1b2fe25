"""person_to_erase: finds the person that an erasure request names: a receipt with its photos, or a photo alone.

If an earlier erasure was interrupted, its tombstone is found too, so repeating the command completes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import InputError
from jobs.landing.case_ids import case_id
from jobs.landing.tombstones import KEY, ErasedPeople, key_hash, of_tombstone, tombstones
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, REJECTED_TRANSACTION_LINES
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

CANDIDATES_NAMED = 5

TransactionKey = tuple[str, str, str]


@dataclass(frozen=True)
class Request:
    """A request to erase a person, who is named by a receipt or by a photo."""

    transaction_id: str | None = None
    photo_key: str | None = None
    business_date: date | None = None
    store_id: str | None = None
    till_id: str | None = None
    with_transaction: bool = False

    @property
    def transaction(self) -> TransactionKey | None:
        """The key of the transaction, if the request names its store and till too; otherwise None."""
        if self.store_id and self.till_id and self.transaction_id:
            return self.store_id, self.till_id, self.transaction_id
        return None


@dataclass(frozen=True)
class Person:
    """A person to erase from a day: a transaction with its photos, or photos alone, and the tombstone if one exists.

    The transaction is None if there are photos alone, or if only the hash in a tombstone is left of it.
    """

    business_date: date
    transaction: TransactionKey | None
    photo_keys: frozenset[str]
    tombstone: dict[str, Any] | None = None

    @property
    def erased(self) -> ErasedPeople:
        """The hashes of the person's photos and transaction, including those in the tombstone."""
        own = ErasedPeople(self.business_date, photos=self._hashes("photo", *((key,) for key in self.photo_keys)))
        if self.transaction:
            own |= ErasedPeople(
                self.business_date,
                transactions=self._hashes("transaction", self.transaction),
                transaction_ids=self._hashes("transaction_id", self.transaction[-1:]),
                cases=self._hashes("case", (self.case_id,)),
            )
        return own | of_tombstone(self.business_date, self.tombstone) if self.tombstone else own

    @property
    def case_id(self) -> str | None:
        """The case_id that the transaction has in alcohol_sale_audit, if it is an alcohol sale."""
        return case_id(self.business_date, *self.transaction) if self.transaction else None

    @property
    def texts(self) -> list[str]:
        """The photo keys and the case id of the person, which the search after the erasure looks for in any column."""
        return [*sorted(self.photo_keys), *filter(None, [self.case_id])]

    def _hashes(self, kind: str, *keys: tuple[str | None, ...]) -> frozenset[str]:
        return frozenset(key_hash(self.business_date, kind, *key) for key in keys)


def find_person(warehouse: Warehouse, landing: ObjectStore, request: Request) -> Person:
    """Find the person that a request names, in the published tables, the landing, or the tombstones of past requests.

    A tombstone is there when an earlier erasure of the person was begun and not completed.

    Raises InputError when the request fits nobody or several people; its message says how to name one person.
    """
    if bool(request.transaction_id) == bool(request.photo_key):
        raise InputError("name the person by exactly one of --transaction-id and --photo-key")
    if request.photo_key:
        return _person_of_photo(warehouse, landing, request.photo_key, request)
    return _person_of_transaction(warehouse, request)


def _person_of_photo(warehouse: Warehouse, landing: ObjectStore, photo_key: str, request: Request) -> Person:
    found = re.match(r"photos/business_date=(\d{4}-\d\d-\d\d)/.", photo_key)
    if not found:
        raise InputError(
            f"photo key '{photo_key}' does not begin with photos/business_date=D/, as the keys in checkout_photos do"
        )
    business_date = date.fromisoformat(found[1])
    if request.with_transaction:
        return _person_with_photo(warehouse, business_date, photo_key)
    tombstone = _tombstone_of(warehouse, business_date, "photos", key_hash(business_date, "photo", photo_key))
    keys = warehouse.published.read_arrow(CHECKOUT_PHOTOS, business_date, ["photo_key"])
    is_known = keys is not None and pc.any(pc.equal(keys["photo_key"], photo_key)).as_py()
    if not (tombstone or is_known or landing.exists(photo_key)):
        raise InputError(f"photo '{photo_key}' is neither in the landing nor in checkout_photos of {business_date}")
    return Person(business_date, None, frozenset([photo_key]), tombstone)


def _person_with_photo(warehouse: Warehouse, business_date: date, photo_key: str) -> Person:
    """Return the buyer of the transaction to which a photo belongs."""
    ages = warehouse.published.read_arrow(TRANSACTION_AGES, business_date, [*KEY, "photo_keys"])
    for transaction in ages.to_pylist() if ages else ():
        if photo_key in (transaction["photo_keys"] or ()):
            return _whole_person(warehouse, business_date, _key_of(transaction))
    tombstone = _tombstone_of(warehouse, business_date, "photos", key_hash(business_date, "photo", photo_key))
    if tombstone and tombstone["transactions"]:
        return Person(business_date, None, frozenset([photo_key]), tombstone)
    raise InputError(f"photo '{photo_key}' belongs to no transaction of {business_date}; leave out --with-transaction")


def _person_of_transaction(warehouse: Warehouse, request: Request) -> Person:
    """Find the one transaction with the id, and with store, till and date if they are given."""
    published = warehouse.published.dates(TRANSACTION_AGES)
    days = [request.business_date] if request.business_date else published
    people = [person for day in days for person in _transactions_of(warehouse, day, request)]
    if not people:
        # The tables come first: a tombstone no longer holds the key in clear.
        people = [person for day in days for person in _tombstoned_transactions(warehouse, day, request)]
    if not people and request.business_date and request.transaction:
        people = _in_rejected_lines(warehouse, request.business_date, request.transaction)
    if not people:
        where = request.business_date or f"the {len(published)} published days"
        raise InputError(
            f"transaction '{request.transaction_id}' is not in the tables of {where}; check the id; if all its lines "
            "were rejected, name date, store and till too"
        )
    if len(people) > 1:
        raise InputError(
            f"transaction '{request.transaction_id}' occurs {len(people)} times: {_named(people)}; "
            "name one with --business-date, --store-id and --till-id"
        )
    return people[0]


def _transactions_of(warehouse: Warehouse, day: date, request: Request) -> list[Person]:
    rows = warehouse.published.read_arrow(TRANSACTION_AGES, day, [*KEY])
    if rows is None:
        return []
    wanted = {"transaction_id": request.transaction_id, "store_id": request.store_id, "till_id": request.till_id}
    for name, value in wanted.items():
        rows = rows.filter(pc.equal(rows[name], value)) if value else rows
    return [_whole_person(warehouse, day, _key_of(row)) for row in rows.to_pylist()]


def _whole_person(warehouse: Warehouse, day: date, key: TransactionKey) -> Person:
    """Return a transaction with all photos that were matched to it, or that name it in their keys."""
    ages = warehouse.published.read_arrow(TRANSACTION_AGES, day, [*KEY, "photo_keys"])
    photos = warehouse.published.read_arrow(CHECKOUT_PHOTOS, day, [*KEY, "photo_key"])
    matched = _rows_of(ages, key)["photo_keys"].to_pylist() if ages else []
    named = _rows_of(photos, key)["photo_key"].to_pylist() if photos else []
    photo_keys = frozenset(named).union(*(keys or () for keys in matched))
    tombstone = _tombstone_of(warehouse, day, "transactions", key_hash(day, "transaction", *key))
    return Person(day, key, photo_keys, tombstone)


def _tombstoned_transactions(warehouse: Warehouse, day: date, request: Request) -> list[Person]:
    """Find transactions that only tombstones still name, to complete or prove their erasure."""
    key = request.transaction
    kind, wanted = "transaction_ids", key_hash(day, "transaction_id", request.transaction_id)
    if key:
        kind, wanted = "transactions", key_hash(day, "transaction", *key)
    found = (tombstone for tombstone in tombstones(warehouse.store, day) if wanted in tombstone[kind])
    return [Person(day, key, frozenset(), tombstone) for tombstone in found]


def _in_rejected_lines(warehouse: Warehouse, day: date, key: TransactionKey) -> list[Person]:
    """Find a transaction with rejected lines only."""
    person = _whole_person(warehouse, day, key)
    lines = warehouse.published.read_arrow(REJECTED_TRANSACTION_LINES, day, ["landed_line"])
    texts = lines["landed_line"].to_pylist() if lines else []
    return [person] if person.photo_keys or any(person.erased.has_landed_line(text or "") for text in texts) else []


def _named(people: list[Person]) -> str:
    named = [f"{p.business_date} store {p.transaction[0]} till {p.transaction[1]}" for p in people if p.transaction]
    more = f" and {len(people) - CANDIDATES_NAMED} more" if len(people) > CANDIDATES_NAMED else ""
    return "; ".join(named[:CANDIDATES_NAMED]) + more


def _rows_of(rows: pa.Table, key: TransactionKey) -> pa.Table:
    for name, value in zip(KEY, key, strict=True):
        rows = rows.filter(pc.equal(rows[name], value))
    return rows


def _key_of(row: dict[str, Any]) -> TransactionKey:
    return row["store_id"], row["till_id"], row["transaction_id"]


def _tombstone_of(warehouse: Warehouse, day: date, kind: str, key: str) -> dict[str, Any] | None:
    """Return the tombstone that holds the hash of a key."""
    return next((tombstone for tombstone in tombstones(warehouse.store, day) if key in tombstone[kind]), None)
