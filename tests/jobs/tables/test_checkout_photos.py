import random
from datetime import datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.landing.business_day import BusinessDay
from jobs.tables.checkout_photos import checkout_photos
from tests.given.rows import BUSINESS_DATE, at

DAY = BusinessDay(BUSINESS_DATE, at("00:00:00"), at("23:00:00"))
TEMPLATE = "photos/business_date=2026-11-20/store_id={store_id}/till_id={till_id}/{taken_at}.{extension}"
FOLDER = "photos/business_date=2026-11-20"


KEY_PARTS = [
    "20261120T183015Z.jpg",
    "..",
    ".",
    "%2F",
    "\n",
    "\r",
    "\x00",
    "\u0663",
    "\u202e",
    "\\",
    "'",
    "{",
    "$1",
    "\U0001f600",
]


def landed(spark: SparkSession, *keys: str) -> DataFrame:
    return spark.createDataFrame([(key,) for key in keys], "photo_key string")


def test_a_photo_is_placed_by_its_key(spark: SparkSession) -> None:
    photos = landed(spark, f"{FOLDER}/store_id=0042/till_id=03/20261120T183015.123Z.jpg")
    photo = checkout_photos(photos, TEMPLATE, DAY).collect()[0]
    assert (photo.store_id, photo.till_id, photo.transaction_id, photo.key_problem) == ("0042", "03", None, None)
    assert photo.taken_at == datetime(2026, 11, 20, 18, 30, 15, 123_000)


@pytest.mark.parametrize("name", ["20261120T183015Z.png", "20261120T183015.5Z.JPEG", "20261120T183015.123456Z.jpg"])
def test_seconds_may_have_a_fraction_and_extensions_any_case(spark: SparkSession, name: str) -> None:
    photo = checkout_photos(landed(spark, f"{FOLDER}/store_id=1/till_id=2/{name}"), TEMPLATE, DAY).collect()[0]
    assert photo.taken_at is not None
    assert photo.key_problem is None


@pytest.mark.parametrize(
    "key",
    [
        f"{FOLDER}/junk.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/20261320T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/20261120T183015.123Z.gif",
        f"{FOLDER}/store_id=0042/till_id=03/deeper/20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=/till_id=03/20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/20261120T183015.123Z.jpg\nx",
        f"{FOLDER}/store_id=0042/till_id=03/20261120T183015.123Z.jpg\n",
        f"{FOLDER}/store_id=00\n42/till_id=03/20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=\u202e30/20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03\u200b/20261120T183015.123Z.jpg",
        f"{FOLDER}/../../store_id=0042/till_id=03/20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042/../till_id=03/20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042%2Ftill_id=03%2F20261120T183015.123Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/\u0662\u0660\u0662\u06661120T183015Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/\uff12\uff10\uff12\uff161120T183015Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/99999999T999999Z.jpg",
        f"{FOLDER}/store_id=0042/till_id=03/00000000T000000Z.jpg",
        f"{FOLDER}/store_id={'4' * 10_000}/till_id=03/20261120T183015.123Z.jpg",
        f"{FOLDER}//store_id=0042/till_id=03/20261120T183015.123Z.jpg",
    ],
)
def test_a_key_that_does_not_match_keeps_its_row_with_the_problem(spark: SparkSession, key: str) -> None:
    photo = checkout_photos(landed(spark, key), TEMPLATE, DAY).collect()[0]
    assert photo.photo_key == key
    assert photo.key_problem.startswith("photo key '")
    assert len(photo.key_problem) < 500
    assert photo.key_problem.endswith(f"does not match '{TEMPLATE}'")


def test_a_template_may_skip_folder_levels(spark: SparkSession) -> None:
    template = "photos/{ignored}/{store_id}/cam-{ignored}/{till_id}/{taken_at}.{extension}"
    keys = [
        "photos/north/0042/cam-7/03/20261120T183015Z.jpg",
        "photos/0042/cam-7/03/20261120T183015Z.jpg",
        "photos/north/x/0042/cam-7/03/20261120T183015Z.jpg",
    ]
    rows = checkout_photos(landed(spark, *keys), template, DAY).orderBy("photo_key").collect()
    assert [(row.photo_key, row.store_id, row.till_id) for row in rows if not row.key_problem] == [
        (keys[0], "0042", "03")
    ]
    assert sum(row.key_problem is not None for row in rows) == 2


def test_a_template_may_carry_the_transaction(spark: SparkSession) -> None:
    template = "photos/{store_id}-{till_id}-{transaction_id}-{taken_at}.{extension}"
    photo = checkout_photos(landed(spark, "photos/7-2-t99-20261120T183015Z.jpg"), template, DAY).collect()[0]
    assert (photo.store_id, photo.till_id, photo.transaction_id) == ("7", "2", "t99")


@pytest.mark.parametrize(
    ("taken_at", "key_problem"),
    [
        ("20261120T000000Z", None),
        ("20261120T225959.999Z", None),
        ("20261120T230000Z", "is not of business date 2026-11-20"),
        ("20000101T000000Z", "is not of business date 2026-11-20"),
    ],
)
def test_a_photo_of_another_date_keeps_its_row_with_the_problem(
    spark: SparkSession, taken_at: str, key_problem: str | None
) -> None:
    key = f"{FOLDER}/store_id=1/till_id=2/{taken_at}.jpg"
    photo = checkout_photos(landed(spark, key), TEMPLATE, DAY).collect()[0]
    assert photo.key_problem == (key_problem and f"photo key '{key}' {key_problem}")


def test_a_photo_whose_key_names_its_transaction_needs_no_right_clock(spark: SparkSession) -> None:
    template = "photos/{store_id}-{till_id}-{transaction_id}-{taken_at}.{extension}"
    photo = checkout_photos(landed(spark, "photos/7-2-t99-20000101T000000Z.jpg"), template, DAY).collect()[0]
    assert (photo.transaction_id, photo.key_problem) == ("t99", None)


def test_look_alike_digits_and_formulas_are_ids_of_their_own(spark: SparkSession) -> None:
    ids = [
        "0042",
        "\u0660\u0660\u0664\u0662",
        "\uff10\uff10\uff14\uff12",
        "0042%2F",
        "=1+1",
        "..",
        "caf\u00e9",
        "cafe\u0301",
    ]
    keys = [f"{FOLDER}/store_id={name}/till_id=03/20261120T183015Z.jpg" for name in ids]
    photos = checkout_photos(landed(spark, *keys), TEMPLATE, DAY).collect()
    assert [(photo.store_id, photo.key_problem) for photo in photos] == [(name, None) for name in ids]


def test_any_key_is_one_row_and_is_placed_or_has_a_problem(spark: SparkSession) -> None:
    keys = {
        "".join(parts)
        for seed in range(40)
        for parts in [random.Random(seed).choices([FOLDER, "/", "store_id=1", "till_id=2", *KEY_PARTS], k=12)]
    }
    photos = checkout_photos(landed(spark, *keys), TEMPLATE, DAY).collect()
    assert {photo.photo_key for photo in photos} == keys
    assert len(photos) == len(keys)
    assert all((photo.store_id and photo.taken_at) or photo.key_problem for photo in photos)
