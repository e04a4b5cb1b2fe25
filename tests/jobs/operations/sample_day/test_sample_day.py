from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal

import pandas as pd
import pytest
from PIL import Image

from jobs.landing.deliveries import missing_markers, receipt_files
from jobs.landing.landed_files import read_landed_lines
from jobs.operations.sample_day.sample_baskets import completejourney_baskets
from jobs.operations.sample_day.sample_day import Receipts, write_sample_day
from jobs.operations.sample_day.sample_faces import FacePhotos, labelled_face_photos
from jobs.warehouse.object_store import ObjectStore
from models.serving.photo_preprocessing import UnusablePhotoError, decode_photo

DAY = date(2026, 11, 20)
PHOTO_KEY = re.compile(r"photos/business_date=2026-11-20/store_id=(\d{4,})/till_id=(\d\d)/(\d{8}T\d{6}\.\d{3}Z)\.jpg$")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FacePhotos:
    """A plain grey picture for each age from 10 to 90."""
    folder = tmp_path_factory.mktemp("faces")
    for age in range(10, 91):
        Image.new("RGB", (64, 64), (age, age, age)).save(folder / f"{age}_face.jpg")
    return labelled_face_photos(folder)


def write_day(landing: ObjectStore, faces: FacePhotos, receipts: Receipts = "synthetic", seed: int = 1) -> pd.DataFrame:
    return write_sample_day(landing, DAY, faces, receipts, seed, "Europe/Moscow")


def contents(landing: ObjectStore) -> dict[str, bytes]:
    return {entry.key: landing.read(entry.key) for entry in landing.list()}


def landed_lines(landing: ObjectStore) -> pd.DataFrame:
    """The landed lines that are not broken, with times and amounts typed."""
    batches = [batch for file in receipt_files(landing, DAY) for batch in read_landed_lines(landing, file.key)]
    lines = pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)
    lines = lines[lines["line_number"].astype(float) < 900].drop_duplicates(["transaction_id", "line_number"])
    typed = {"net_amount": lines["net_amount"].map(Decimal), "is_alcohol": lines["is_alcohol"] == "true"}
    times = {name: pd.to_datetime(lines[name], utc=True, format="ISO8601") for name in ("opened_at", "closed_at")}
    return lines.assign(**typed, **times)


def photos_with_times(truth: pd.DataFrame) -> pd.DataFrame:
    photos = truth[(truth["kind"] == "photo") & (truth["fault"] != "key_without_time").fillna(True)]
    times = photos["photo_key"].str.extract(PHOTO_KEY)[2]
    return photos.assign(taken_at=pd.to_datetime(times, format="%Y%m%dT%H%M%S.%fZ", utc=True))


def test_a_sample_day_is_complete_and_its_photo_keys_keep_the_landing_contract(
    landing: ObjectStore, faces: FacePhotos
) -> None:
    truth = write_day(landing, faces)
    assert missing_markers(landing, DAY) == []
    keys = [entry.key for entry in landing.list("photos") if not entry.key.endswith("_SUCCESS")]
    assert sorted(keys) == sorted(truth["photo_key"].dropna())
    assert [key for key in keys if not PHOTO_KEY.match(key)] == [
        "photos/business_date=2026-11-20/store_id=unknown/IMG_0001.jpg"
    ]


def test_the_same_arguments_write_the_same_bytes_and_another_seed_others(
    landing: ObjectStore, faces: FacePhotos
) -> None:
    first_truth, first = write_day(landing, faces), contents(landing)
    again_truth, again = write_day(landing, faces), contents(landing)
    assert first == again
    pd.testing.assert_frame_equal(first_truth, again_truth)
    write_day(landing, faces, seed=2)
    assert contents(landing) != first


def test_what_the_day_held_before_is_gone_and_other_days_stay(landing: ObjectStore, faces: FacePhotos) -> None:
    landing.write("photos/business_date=2026-11-20/store_id=0001/till_id=01/old.jpg", b"old")
    landing.write("transactions/business_date=2026-11-20/old.csv", b"old")
    landing.write("photos/business_date=2026-11-19/_SUCCESS", b"")
    write_day(landing, faces)
    keys = {entry.key for entry in landing.list()}
    assert not [key for key in keys if "old" in key]
    assert "photos/business_date=2026-11-19/_SUCCESS" in keys


def test_transactions_of_a_till_do_not_overlap_and_end_on_the_business_date(
    landing: ObjectStore, faces: FacePhotos
) -> None:
    write_day(landing, faces, "completejourney")
    transactions = landed_lines(landing).drop_duplicates("transaction_id").sort_values("opened_at")
    previous_end = transactions.groupby(["store_id", "till_id"])["closed_at"].shift()
    assert (transactions["opened_at"] <= transactions["closed_at"]).all()
    assert not (transactions["opened_at"] < previous_end).any()
    for moment in ("opened_at", "closed_at"):
        assert set(transactions[moment].dt.tz_convert("Europe/Moscow").dt.date) == {DAY}


def test_photos_are_taken_while_the_buyer_stands_at_the_till_and_strays_when_nobody_does(
    landing: ObjectStore, faces: FacePhotos
) -> None:
    photos = photos_with_times(write_day(landing, faces))
    transactions = landed_lines(landing).drop_duplicates("transaction_id")
    pairs = photos.merge(transactions, on=["store_id", "till_id"], suffixes=("", "_of_till"))
    inside = pairs[pairs["taken_at"].between(pairs["opened_at"], pairs["closed_at"])]
    belonging = photos.dropna(subset=["transaction_id"])
    assert dict(zip(inside["photo_key"], inside["transaction_id_of_till"], strict=True)) == dict(
        zip(belonging["photo_key"], belonging["transaction_id"], strict=True)
    )


def test_most_transactions_have_one_photo_some_none_some_several(landing: ObjectStore, faces: FacePhotos) -> None:
    truth = write_day(landing, faces)
    photos = truth[truth["kind"] == "photo"]
    transactions = truth[truth["kind"] == "transaction"]
    counts = photos["transaction_id"].value_counts().reindex(transactions["transaction_id"], fill_value=0)
    assert len(transactions) == 200
    assert counts.value_counts().to_dict() == {1: 169, 0: 19, 2: 6, 3: 6}
    assert photos["transaction_id"].isna().sum() == 6


def test_the_age_of_a_buyer_is_the_age_in_the_photo(landing: ObjectStore, faces: FacePhotos) -> None:
    truth = write_day(landing, faces)
    buyers = truth[truth["kind"] == "transaction"].set_index("transaction_id")["true_age_years"]
    photos = truth[(truth["kind"] == "photo") & truth["true_age_years"].notna() & truth["transaction_id"].notna()]
    assert ((photos["true_age_years"] - photos["transaction_id"].map(buyers)).abs() <= 2).all()


def test_each_photo_broken_on_purpose_is_unusable_for_its_own_reason(landing: ObjectStore, faces: FacePhotos) -> None:
    truth = write_day(landing, faces)
    broken = truth[(truth["kind"] == "photo") & truth["fault"].notna() & (truth["fault"] != "key_without_time")]
    statuses = {}
    for photo_key, fault in zip(broken["photo_key"], broken["fault"], strict=True):
        with pytest.raises(UnusablePhotoError) as unusable:
            decode_photo(landing.read(photo_key), 112)
        statuses[fault] = unusable.value.status
    assert statuses == {
        "empty": "empty",
        "truncated": "truncated",
        "text": "not_an_image",
        "too_many_pixels": "too_many_pixels",
    }
    assert all(entry.size_bytes < 100_000 for entry in landing.list("photos"))


def test_five_lines_are_broken_each_in_its_own_way(landing: ObjectStore, faces: FacePhotos) -> None:
    faults = write_day(landing, faces).query("kind == 'line'")["fault"].to_list()
    batches = [batch for file in receipt_files(landing, DAY) for batch in read_landed_lines(landing, file.key)]
    lines = pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)
    has_key = lines["transaction_id"].notna()
    broken = {
        "missing_field": lines["sku"].isna() & has_key,
        "wrong_type": (lines["net_amount"] == "ten") | (lines["quantity"] == "two"),
        "duplicate_key": lines.duplicated(["store_id", "till_id", "transaction_id", "line_number"]) & has_key,
        "broken_json": lines["parse_problem"].notna(),
    }
    assert {fault: int(rows.sum()) for fault, rows in broken.items()} == {
        fault: faults.count(fault) for fault in dict.fromkeys(faults)
    }
    assert len(faults) == 5


def test_a_refused_sale_has_its_alcohol_voided(landing: ObjectStore, faces: FacePhotos) -> None:
    truth = write_day(landing, faces)
    refused = truth.loc[(truth["id_check"] == "refused_sale").fillna(False), "transaction_id"]
    lines = landed_lines(landing)
    alcohol = lines[lines["is_alcohol"] & lines["transaction_id"].isin(refused)]
    assert len(refused) > 0
    assert alcohol.groupby("transaction_id")["net_amount"].sum().eq(0).all()
    assert {"sale", "void", "return"} == set(lines["line_type"])


def test_a_few_buyers_of_alcohol_are_minors(landing: ObjectStore, faces: FacePhotos) -> None:
    truth = write_day(landing, faces, "completejourney")
    buyers = truth[(truth["kind"] == "transaction") & truth["has_alcohol"].fillna(False)]
    assert 3 <= buyers["is_minor"].sum() <= 0.2 * len(buyers)


def test_decimals_travel_as_text_in_json_lines(landing: ObjectStore, faces: FacePhotos) -> None:
    write_day(landing, faces)
    record = json.loads(landing.read("transactions/business_date=2026-11-20/part-2.jsonl").splitlines()[0])
    assert re.fullmatch(r"-?\d+\.\d\d", record["net_amount"])
    assert re.fullmatch(r"-?\d+\.\d{3}", record["quantity"])


def test_real_receipts_of_the_same_day_of_the_year_move_to_the_business_date() -> None:
    baskets = completejourney_baskets(DAY, "Europe/Moscow")
    assert set(baskets["closed_at"].dt.tz_convert("Europe/Moscow").dt.date) == {DAY}
    assert (len(baskets), baskets["transaction_id"].nunique()) == (4427, 469)
    assert sum(baskets["net_amount"], Decimal(0)) == Decimal("14483.84")
    assert set(baskets.loc[baskets["is_alcohol"], "product_category"]) <= {
        "BEERS/ALES",
        "DOMESTIC WINE",
        "IMPORTED WINE",
        "MISC WINE",
        "LIQUOR",
    }


@pytest.mark.parametrize(
    ("business_date", "same_as"),
    [(date(2028, 2, 29), date(2027, 2, 28)), (date(2026, 12, 25), date(2026, 12, 24))],
    ids=["29 February", "25 December"],
)
def test_a_day_without_trading_takes_the_day_before(business_date: date, same_as: date) -> None:
    taken, expected = (completejourney_baskets(day, "Europe/Moscow")["sku"] for day in (business_date, same_as))
    assert taken.to_list() == expected.to_list()


def test_fuel_is_sold_by_the_gallon() -> None:
    baskets = completejourney_baskets(DAY, "Europe/Moscow")
    assert baskets["quantity"].max() == Decimal("23.416")
