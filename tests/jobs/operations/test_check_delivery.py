"""check-delivery as a person runs it, and the same counts as the night's tables."""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from jobs.cli import app
from jobs.landing.business_day import business_day
from jobs.landing.deliveries import photos_folder, transactions_folder
from jobs.landing.judged_lines import judged_transaction_lines
from jobs.landing.tombstones import ErasedPeople
from jobs.operations.check_delivery import check_landed_day
from jobs.operations.sample_day.sample_day import write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.settings import Settings
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE, at

FIELD = Path(__file__).parents[1] / "field" / "transactions"
HEADER = (FIELD / "SALES.CSV").read_text().splitlines()[0]
SOUND = "r{n},K1,01,c1,,2026-11-20T10:{n:02}:00Z,1,sale,1,BREAD,1,10.00,RUB,false,"


def checked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check-delivery", "--business-date", str(BUSINESS_DATE), *arguments])


def land(landing: ObjectStore, name: str, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/{name}", data)


def photograph(landing: ObjectStore, store_id: str, till_id: str, *clocks: str) -> None:
    for clock in clocks:
        key = f"store_id={store_id}/till_id={till_id}/20261120T{clock.replace(':', '')}Z.jpg"
        landing.write(f"{photos_folder(BUSINESS_DATE)}/{key}", b"a photo")


def lines_file(count: int, broken: int = 0) -> str:
    lines = [SOUND.format(n=n) for n in range(count)]
    return "\n".join([HEADER, *lines[broken:], *(line.replace("10.00", "Anna") for line in lines[:broken])]) + "\n"


def test_a_sound_delivery_is_told_in_counts(landing: ObjectStore, settings: Settings) -> None:
    land(landing, "day.csv", lines_file(20))
    photograph(landing, "K1", "01", *(f"10:{minute:02}:00" for minute in range(20)))
    result = checked("--landing-uri", settings.landing_uri)
    assert result.exit_code == 0, result.output
    assert (
        "20 receipt lines kept, 0 rejected, 0 files not read to the end; 20 receipts, 20 with a photo" in result.output
    )
    assert "the night would publish this day" in result.output
    assert "warns" not in result.output


def test_what_would_be_rejected_is_counted_by_kind_with_three_examples(
    landing: ObjectStore, settings: Settings
) -> None:
    land(landing, "day.csv", lines_file(20, broken=5))
    result = checked("--landing-uri", settings.landing_uri)
    assert result.exit_code == 2
    assert "5  net_amount is not a decimal with at most 2 places\n" in result.output
    assert result.output.count("net_amount 'Anna' is not a decimal") == 3
    assert "day.csv line 17: net_amount 'Anna'" in result.output
    assert "fails  most receipt lines keep the contract: 25 % of 20 lines are rejected" in result.output
    assert result.output.endswith("the night would publish nothing\n")


def test_examples_hold_pseudonyms_where_there_is_a_key(
    landing: ObjectStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKOUT_AGES_CASHIER_PSEUDONYM_KEY", "k" * 32)
    land(landing, "numbers.csv", (FIELD / "numbers_begin_again_with_the_shift.csv").read_bytes())
    result = checked("--landing-uri", settings.landing_uri)
    assert "its receipt has cashier_id p" in result.output
    assert '"c1"' not in result.output
    assert " c1 " not in result.output


@pytest.mark.parametrize(
    ("file_name", "kept", "rejected", "exit_code"),
    [
        ("SALES.CSV", 6, 0, 0),
        ("returns_without_sign.csv", 4, 2, 2),
        ("numbers_begin_again_with_the_shift.csv", 0, 9, 2),
        ("one_stray_quote.csv", 19, 1, 0),
        ("semicolons_decimal_commas.csv", 0, 0, 2),
        ("utf16.csv", 0, 0, 2),
    ],
)
def test_files_are_checked_by_name_without_a_landing(file_name: str, kept: int, rejected: int, exit_code: int) -> None:
    result = checked(str(FIELD / file_name))
    assert result.exit_code == exit_code, result.output
    assert f"{kept} receipt lines kept, {rejected} rejected" in result.output
    assert "photos and receipts name" not in result.output


def test_a_store_that_lost_its_zeros_is_named_beside_the_one_with_photos(
    landing: ObjectStore, settings: Settings
) -> None:
    photograph(landing, "0042", "01", "10:00:30")
    file = FIELD / "leading_zeros_lost.csv"
    result = checked(str(file), "--landing-uri", settings.landing_uri)
    assert "store 0042 has 1 photos but no receipts; with receipts but no photos, nearest first: 42" in result.output
    assert result.exit_code == 0


def test_receipts_in_local_time_are_told_with_the_shift_that_fits(landing: ObjectStore, settings: Settings) -> None:
    opened = at("13:00:00") - timedelta(hours=3)
    photograph(landing, "K11", "01", *(f"{opened + timedelta(minutes=5 * n, seconds=40):%H:%M:%S}" for n in range(12)))
    result = checked(str(FIELD / "local_time.csv"), "--landing-uri", settings.landing_uri)
    assert "12 would have one if its clock were taken as 10800 s ahead" in result.output
    assert "CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS=K11/01=10800" in result.output


def test_a_date_without_files_and_a_file_that_is_not_there_are_told_in_a_sentence(settings: Settings) -> None:
    result = checked("--landing-uri", settings.landing_uri)
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert f"nothing is delivered for {BUSINESS_DATE}" in result.output
    result = checked("no/such.csv")
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "'no/such.csv' is not a file" in result.output


def test_the_command_counts_what_the_night_stages(
    spark: SparkSession, landing: ObjectStore, settings: Settings
) -> None:
    write_sample_day(landing, BUSINESS_DATE, synthetic_face_photos(), "synthetic", 1, settings.store_time_zone)
    counts = check_landed_day(landing, BUSINESS_DATE, settings).counts
    day = business_day(BUSINESS_DATE, settings.time_zone, settings.business_date_allowance_minutes)
    lines = judged_transaction_lines(spark, settings.landing_uri, day, ErasedPeople(BUSINESS_DATE))
    kept = {row.is_kept: row["count"] for row in lines.groupBy("is_kept").count().collect()}
    assert (counts.kept_lines, counts.rejected_lines) == (kept[True], kept[False])
    assert counts.receipts_with_photo > 100
