from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.settings import Settings
from jobs.tables.transaction_ages import PhotoMatching, transaction_ages
from models.serving.model_manifest import read_manifest
from tests.given.rows import at, certain_of, line, rows_of


def photo(key: str, clock: str | None, age: int | None = 30, **given: Any) -> dict[str, Any]:
    """A photo of till 03, with the age that the model is sure of; None for an unusable photo."""
    return {"photo_key": key, "store_id": "0042", "till_id": "03", "taken_at": clock and at(clock), "age": age} | given


def transaction_ages_of(
    spark: SparkSession, settings: Settings, lines: list[dict[str, Any]], photos: list[dict[str, Any]]
) -> list[Row]:
    estimates = [
        {
            "photo_key": photo["photo_key"],
            "age_distribution": None if photo["age"] is None else certain_of(photo["age"]),
            "estimate_reason": "0 bytes" if photo["age"] is None else None,
        }
        for photo in photos
    ]
    ages = transaction_ages(
        rows_of(spark, TRANSACTION_LINES, *lines),
        rows_of(spark, CHECKOUT_PHOTOS, *photos),
        rows_of(spark, PHOTO_AGE_ESTIMATES, *estimates),
        settings.part(PhotoMatching),
        settings.age_group_lower_bounds_years,
        settings.model_version,
    )
    return ages.collect()


def ages_of(
    spark: SparkSession, settings: Settings, lines: list[dict[str, Any]], photos: list[dict[str, Any]]
) -> dict[str, Row]:
    return {row.transaction_id: row for row in transaction_ages_of(spark, settings, lines, photos)}


def test_a_photo_belongs_to_the_transaction_whose_span_holds_it(spark: SparkSession, settings: Settings) -> None:
    lines = [line(), line(transaction_id="t2", opened_at=at("18:32:00"), closed_at=at("18:33:00"))]
    photos = [photo("a", "18:30:00", 30), photo("b", "18:32:59", 50), photo("between", "18:31:30")]
    ages = ages_of(spark, settings, lines, photos)
    assert (ages["t1"].photo_keys, ages["t1"].estimated_age_years, ages["t1"].age_group) == (["a"], 30, "25-34")
    assert (ages["t2"].photo_keys, ages["t2"].estimated_age_years, ages["t2"].age_group) == (["b"], 50, "45-54")


def test_without_opened_at_the_span_is_a_stated_time_before_closed_at(spark: SparkSession, settings: Settings) -> None:
    short = settings.model_copy(update={"transaction_span_seconds": 60})
    ages = ages_of(spark, short, [line(opened_at=None)], [photo("in", "18:30:00"), photo("early", "18:29:59")])
    assert ages["t1"].photo_keys == ["in"]


def test_of_two_spans_the_one_that_closes_nearest_wins(spark: SparkSession, settings: Settings) -> None:
    lines = [
        line(transaction_id="long", opened_at=at("18:00:00"), closed_at=at("19:00:00")),
        line(transaction_id="near", opened_at=at("18:30:00"), closed_at=at("18:31:00")),
    ]
    ages = ages_of(spark, settings, lines, [photo("a", "18:30:30"), photo("b", "18:10:00")])
    assert (ages["near"].photo_keys, ages["long"].photo_keys) == (["a"], ["b"])


def test_a_key_that_names_the_transaction_wins_over_time(spark: SparkSession, settings: Settings) -> None:
    lines = [line(), line(transaction_id="t2", opened_at=at("20:00:00"), closed_at=at("20:01:00"))]
    ages = ages_of(spark, settings, lines, [photo("a", "18:30:30", transaction_id="t2")])
    assert (ages["t1"].photo_count, ages["t2"].photo_keys) == (0, ["a"])


def test_a_key_that_names_a_transaction_which_is_not_in_the_log_matches_nothing(
    spark: SparkSession, settings: Settings
) -> None:
    ages = ages_of(spark, settings, [line()], [photo("a", "18:30:30", transaction_id="lost")])
    assert {name: row.photo_keys for name, row in ages.items()} == {"t1": []}


def test_a_photo_is_matched_and_its_offset_taken_by_the_clock_of_the_camera(
    spark: SparkSession, settings: Settings
) -> None:
    ahead = settings.model_copy(update={"till_clock_skew_seconds": {"0042/03": 12.5, "0042/04": -60.0}})
    lines = [line(), line(till_id="04"), line(till_id="05")]
    photos = [photo("a", "18:29:48"), photo("late", "18:30:50"), photo("b", "18:31:30", till_id="04")]
    transactions = transaction_ages_of(spark, ahead, lines, photos)
    by_till = {
        row.till_id: (row.photo_keys, row.photo_offset_seconds, row.till_clock_skew_seconds) for row in transactions
    }
    assert by_till == {"03": (["a"], 59.5, 12.5), "04": (["b"], 30, -60), "05": ([], None, 0)}
    logged = tuple(moment.replace(tzinfo=None) for moment in (lines[0]["opened_at"], lines[0]["closed_at"]))
    assert {(row.opened_at, row.closed_at) for row in transactions} == {logged}


def test_frames_of_one_moment_count_as_one_photo(spark: SparkSession, settings: Settings) -> None:
    burst = [photo(f"burst-{number}", f"18:30:{10 + number}", 30) for number in range(10)]
    unusable = photo("dark", "18:30:15.5", None)
    buyer = ages_of(spark, settings, [line()], [*burst, unusable, photo("good", "18:30:40", 40)])["t1"]
    assert (buyer.photo_count, buyer.usable_photo_count, buyer.estimated_age_years) == (12, 11, 35)
    apart = settings.model_copy(update={"photo_burst_seconds": 0.0})
    buyer = ages_of(spark, apart, [line()], [*burst, unusable, photo("good", "18:30:40", 40)])["t1"]
    assert buyer.estimated_age_years == pytest.approx((10 * 30 + 40) / 11)


def test_a_receipt_of_returns_or_voided_as_a_whole_has_a_buyer_like_any_other(
    spark: SparkSession, settings: Settings
) -> None:
    second = {"transaction_id": "void", "opened_at": at("18:32:00"), "closed_at": at("18:33:00")}
    lines = [
        line(transaction_id="return", line_type="return", quantity="-1", net_amount="-2.50"),
        line(**second),
        line(**second, line_number=2, line_type="void", quantity="-1", net_amount="-2.50"),
    ]
    ages = ages_of(spark, settings, lines, [photo("a", "18:30:30", 30), photo("b", "18:32:30", 50)])
    assert {name: (row.estimate_status, row.age_group) for name, row in ages.items()} == {
        "return": ("estimated", "25-34"),
        "void": ("estimated", "45-54"),
    }


def test_several_photos_of_one_buyer_are_averaged_into_one_estimate(spark: SparkSession, settings: Settings) -> None:
    photos = [photo("b", "18:30:20", 16), photo("a", "18:30:10", 40), photo("bad", "18:30:30", None)]
    buyer = ages_of(spark, settings, [line()], photos)["t1"]
    assert (buyer.photo_keys, buyer.photo_count, buyer.usable_photo_count) == (["a", "b", "bad"], 3, 2)
    assert (buyer.estimated_age_years, buyer.under_18_probability, buyer.estimate_status) == (28, 0.5, "estimated")
    assert sum(buyer.age_distribution) == pytest.approx(1)
    assert buyer.estimated_age_low_years <= 28 <= buyer.estimated_age_high_years


def test_who_may_be_a_young_adult_is_estimated_as_the_model_version_corrects_it(
    spark: SparkSession, settings: Settings
) -> None:
    buyer = ages_of(spark, settings, [line()], [photo("b", "18:30:20", 16), photo("a", "18:30:10", 20)])["t1"]
    correction = read_manifest(settings.model_version).young_adult_correction
    assert buyer.estimated_age_years == pytest.approx(18 - correction * 2 * 0.5)
    assert buyer.estimated_age_low_years <= buyer.estimated_age_years < 18 <= buyer.estimated_age_high_years


def test_a_transaction_without_a_photo_is_unknown_with_a_reason(spark: SparkSession, settings: Settings) -> None:
    buyer = ages_of(spark, settings, [line()], [photo("elsewhere", "18:30:30", till_id="04")])["t1"]
    assert (buyer.estimate_status, buyer.age_group, buyer.estimated_age_years) == ("no_photo", "unknown", None)
    assert buyer.estimate_reason == "no photo was taken at this till during the transaction"


def test_a_transaction_whose_photos_are_unusable_says_why(spark: SparkSession, settings: Settings) -> None:
    buyer = ages_of(spark, settings, [line()], [photo("bad", "18:30:30", None)])["t1"]
    assert (buyer.estimate_status, buyer.age_group) == ("no_usable_photo", "unknown")
    assert buyer.estimate_reason == "no usable photo: 0 bytes"


def test_a_photo_that_has_no_place_matches_nothing(spark: SparkSession, settings: Settings) -> None:
    lost = photo("junk", None, store_id=None, till_id=None, key_problem="photo key 'junk' does not match '…'")
    assert ages_of(spark, settings, [line()], [lost])["t1"].photo_count == 0
