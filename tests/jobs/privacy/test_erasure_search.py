from datetime import timedelta
from typing import Any

import pytest

from jobs.privacy.erasure_search import search
from jobs.privacy.person_to_erase import Person
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES, REVIEWED_CASES
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    PHOTO_COVERAGE,
    REJECTED_TRANSACTION_LINES,
    TRANSACTION_LINES,
)
from jobs.schemas.runs import CHECK_RESULTS
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.people_to_erase import publish
from tests.given.rows import BUSINESS_DATE

PHOTO = f"photos/business_date={BUSINESS_DATE}/a.jpg"
KEY = {"store_id": "0042", "till_id": "03", "transaction_id": "t1"}
PERSON = Person(BUSINESS_DATE, ("0042", "03", "t1"), frozenset([PHOTO]))
OTHER = {"photo_key": "photos/b.jpg", "store_id": "0042", "till_id": "03", "transaction_id": "t2"}
LATER = BUSINESS_DATE + timedelta(days=3)

PLANTED: dict[str, tuple[Table, dict[str, Any]]] = {
    "a receipt line": (TRANSACTION_LINES, KEY),
    "a transaction": (TRANSACTION_AGES, KEY),
    "a photo in a list": (TRANSACTION_AGES, OTHER | {"photo_keys": ["x", PHOTO]}),
    "a photo": (CHECKOUT_PHOTOS, {"photo_key": PHOTO}),
    "a photo whose key names the receipt": (CHECKOUT_PHOTOS, KEY | {"photo_key": "photos/c.jpg"}),
    "an estimate": (PHOTO_AGE_ESTIMATES, {"photo_key": PHOTO}),
    "a rejected line": (REJECTED_TRANSACTION_LINES, {"landed_line": '{"transaction_id":"t1","till_id":"03"}'}),
    "a torn line": (REJECTED_TRANSACTION_LINES, {"landed_line": "0042,03,t1,torn"}),
    "a case": (ALCOHOL_REVIEW_CASES, {"case_id": PERSON.case_id}),
    "a finding": (CHECK_RESULTS, {"rule": "r", "findings": [f"such as: photo key '{PHOTO}' is odd"]}),
    "a reason in a map": (PHOTO_COVERAGE, {"reasons": [(PHOTO, 1)]}),
}


def searched(settings: Settings, person: Person = PERSON) -> dict[str, int]:
    store = ObjectStore(settings.warehouse_uri)
    return search(Warehouse(store, "erase"), person.erased, person.texts).found


@pytest.mark.parametrize(("table", "row"), PLANTED.values(), ids=PLANTED.keys())
def test_what_is_planted_is_found_among_others(settings: Settings, table: Table, row: dict[str, Any]) -> None:
    publish(settings, table, BUSINESS_DATE, OTHER, row, OTHER)
    assert searched(settings) == {f"{table.name}/business_date={BUSINESS_DATE}/part-0.parquet": 1}


@pytest.mark.parametrize("folder", ["_staging/run", "_rescored/age_resnet50-3"])
def test_what_is_staged_or_rescored_is_searched_too(settings: Settings, folder: str) -> None:
    publish(settings, CHECKOUT_PHOTOS, BUSINESS_DATE, KEY | {"photo_key": PHOTO})
    store = ObjectStore(settings.warehouse_uri)
    published = f"checkout_photos/business_date={BUSINESS_DATE}/part-0.parquet"
    store.copy(published, f"{folder}/{published}")
    assert set(searched(settings)) == {published, f"{folder}/{published}"}


def test_the_case_is_found_in_the_windows_of_later_days_though_only_a_hash_of_it_is_known(settings: Settings) -> None:
    publish(settings, REVIEWED_CASES, LATER, {"case_id": PERSON.case_id})
    of_tombstone = {name: sorted(getattr(PERSON.erased, name)) for name in ("transactions", "photos", "cases")}
    unknown = Person(BUSINESS_DATE, None, frozenset(), of_tombstone | {"transaction_ids": []})
    assert unknown.texts == []
    assert list(searched(settings, unknown).values()) == [1]


def test_the_same_receipt_number_of_another_day_or_till_is_someone_else(settings: Settings) -> None:
    publish(settings, TRANSACTION_LINES, LATER, KEY)
    publish(settings, TRANSACTION_LINES, BUSINESS_DATE, KEY | {"till_id": "04"})
    publish(settings, REJECTED_TRANSACTION_LINES, BUSINESS_DATE, {"landed_line": "t11,0042,03"})
    assert searched(settings) == {}


def test_it_counts_what_it_looked_at(settings: Settings) -> None:
    publish(settings, TRANSACTION_LINES, LATER, KEY, KEY)
    publish(settings, CHECK_RESULTS, BUSINESS_DATE, {"rule": "r"})
    store = ObjectStore(settings.warehouse_uri)
    found = search(Warehouse(store, "erase"), PERSON.erased, PERSON.texts)
    assert (found.file_count, found.row_count) == (2, 3)
