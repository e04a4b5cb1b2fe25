"""Photo keys taken apart without Spark; test_checkout_photos holds what a night makes of them."""

import pyarrow as pa

from jobs.landing.deliveries import photos_folder
from jobs.landing.photo_keys import key_fields
from jobs.landing.tombstones import ErasedPeople, key_hash
from jobs.privacy.erase import delete_photos
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE


def test_a_template_is_taken_apart_into_its_fields_and_levels_to_skip() -> None:
    keys = pa.array(["x/7/camera/2/20261120T183015Z.jpg", "x/7/2/20261120T183015Z.jpg"])
    fields = key_fields(keys, "x/{store_id}/{ignored}/{till_id}/{taken_at}.{extension}")
    assert {name: texts.to_pylist() for name, texts in fields.items()} == {
        "store_id": ["7", None],
        "ignored": ["camera", None],
        "till_id": ["2", None],
        "taken_at": ["20261120T183015Z", None],
        "extension": ["jpg", None],
    }


def test_a_field_that_is_there_twice_is_read_where_it_comes_first() -> None:
    fields = key_fields(pa.array(["7/8/2"]), "{store_id}/{store_id}/{till_id}")
    assert fields["store_id"].to_pylist() == ["7"]


def test_a_landed_photo_whose_key_names_an_erased_receipt_is_deleted(landing: ObjectStore) -> None:
    template = "{store_id}/{till_id}/{transaction_id}/{taken_at}.{extension}"
    folder = photos_folder(BUSINESS_DATE)
    keys = [f"{folder}/7/2/{name}/20261120T183015Z.jpg" for name in ("t1", "t2")] + [f"{folder}/junk.jpg"]
    for key in keys:
        landing.write(key, b"photo")
    erased = ErasedPeople(
        BUSINESS_DATE, transactions=frozenset([key_hash(BUSINESS_DATE, "transaction", "7", "2", "t1")])
    )
    assert delete_photos(landing, erased, template) == 1
    assert {entry.key for entry in landing.list(folder)} == set(keys[1:])
