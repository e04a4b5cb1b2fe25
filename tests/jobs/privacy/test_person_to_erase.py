from datetime import timedelta
from typing import Any

import pytest

from jobs.errors import InputError
from jobs.privacy.person_to_erase import Person, Request, find_person
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, REJECTED_TRANSACTION_LINES
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.people_to_erase import publish
from tests.given.rows import BUSINESS_DATE

EVE = BUSINESS_DATE - timedelta(days=1)
PHOTO = f"photos/business_date={BUSINESS_DATE}/a.jpg"
NAMED_PHOTO = f"photos/business_date={BUSINESS_DATE}/t1.jpg"
KEY = {"store_id": "0042", "till_id": "03", "transaction_id": "t1"}


@pytest.fixture
def published(settings: Settings) -> Settings:
    """Transaction t1 on two days, on the later one at two tills; photos of the one at till 03."""
    publish(settings, TRANSACTION_AGES, EVE, KEY)
    publish(settings, TRANSACTION_AGES, BUSINESS_DATE, KEY | {"photo_keys": [PHOTO]}, KEY | {"till_id": "04"})
    publish(settings, CHECKOUT_PHOTOS, BUSINESS_DATE, {"photo_key": PHOTO}, KEY | {"photo_key": NAMED_PHOTO})
    torn = {"source_file": "a", "line_in_file": 1, "landed_line": "t9,0042,03,and,so,on"}
    publish(settings, REJECTED_TRANSACTION_LINES, BUSINESS_DATE, torn)
    return settings


def found(settings: Settings, **asked: Any) -> Person:
    warehouse = Warehouse(ObjectStore(settings.warehouse_uri), "erase")
    return find_person(warehouse, ObjectStore(settings.landing_uri), Request(**asked))


def test_a_transaction_is_found_with_its_matched_photos_and_those_whose_key_names_it(published: Settings) -> None:
    person = found(published, transaction_id="t1", business_date=BUSINESS_DATE, till_id="03")
    assert (person.business_date, person.transaction) == (BUSINESS_DATE, ("0042", "03", "t1"))
    assert person.photo_keys == {PHOTO, NAMED_PHOTO}
    assert (len(person.erased.transactions), len(person.erased.photos), len(person.erased.cases)) == (1, 2, 1)


def test_an_id_that_is_there_once_needs_no_more(published: Settings) -> None:
    assert found(published, transaction_id="t1", till_id="04").business_date == BUSINESS_DATE
    assert found(published, transaction_id="t1", business_date=EVE).transaction == ("0042", "03", "t1")


def test_an_id_that_is_there_several_times_is_refused_with_where(published: Settings) -> None:
    with pytest.raises(InputError) as refusal:
        found(published, transaction_id="t1")
    assert str(refusal.value) == (
        "transaction 't1' occurs 3 times: 2026-11-19 store 0042 till 03; 2026-11-20 store 0042 till 03; "
        "2026-11-20 store 0042 till 04; name one with --business-date, --store-id and --till-id"
    )


def test_an_id_that_is_nowhere_is_refused(published: Settings) -> None:
    with pytest.raises(InputError, match="transaction 't7' is not in the tables of the 2 published days; check the id"):
        found(published, transaction_id="t7")


def test_a_transaction_all_of_whose_lines_were_rejected_is_found_when_it_is_named_in_full(published: Settings) -> None:
    in_full = {"business_date": BUSINESS_DATE, "store_id": "0042", "till_id": "03"}
    assert found(published, transaction_id="t9", **in_full).transaction == ("0042", "03", "t9")
    with pytest.raises(InputError, match="transaction 't7' is not in the tables of 2026-11-20"):
        found(published, transaction_id="t7", **in_full)


def test_a_photo_is_erased_alone_or_with_its_transaction(published: Settings) -> None:
    alone = found(published, photo_key=PHOTO)
    assert (alone.transaction, alone.photo_keys) == (None, {PHOTO})
    whole = found(published, photo_key=PHOTO, with_transaction=True)
    assert (whole.transaction, whole.photo_keys) == (("0042", "03", "t1"), {PHOTO, NAMED_PHOTO})


def test_a_photo_that_belongs_to_no_transaction_says_so(published: Settings) -> None:
    with pytest.raises(InputError, match="belongs to no transaction of 2026-11-20; leave out --with-transaction"):
        found(published, photo_key=PHOTO.replace("a.jpg", "b.jpg"), with_transaction=True)


def test_a_photo_that_has_landed_can_be_erased_before_its_night(settings: Settings) -> None:
    with pytest.raises(InputError, match="is neither in the landing nor in checkout_photos of 2026-11-20"):
        found(settings, photo_key=PHOTO)
    ObjectStore(settings.landing_uri).write(PHOTO, b"jpg")
    assert found(settings, photo_key=PHOTO).photo_keys == {PHOTO}


@pytest.mark.parametrize("key", ["a.jpg", "photos/business_date=2026-11-20/", "/etc/passwd"])
def test_a_key_that_is_no_photo_key_is_refused(settings: Settings, key: str) -> None:
    with pytest.raises(InputError, match="does not begin with photos/business_date=D/"):
        found(settings, photo_key=key)


@pytest.mark.parametrize("asked", [{}, {"transaction_id": "t1", "photo_key": PHOTO}], ids=["nobody", "both"])
def test_one_of_receipt_and_photo_is_named(settings: Settings, asked: dict[str, str]) -> None:
    with pytest.raises(InputError, match="one of --transaction-id and --photo-key"):
        found(settings, **asked)
