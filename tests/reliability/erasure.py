"""erasure: search for remains of erased people, and for photos past their retention, while runs are killed.

People are erased from a published day, and the erasure is killed again and again. Then their receipts and photos land
again and the day is run again. Two searches look for them: the search that proves an erasure, and a plain one that
prints every row of every Parquet file and looks for their ids in the text. As controls, rows are put back, file by
file: each must be found.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import duckdb
from pyspark.sql import SparkSession

from jobs.landing.deleted_photos import photos_of
from jobs.landing.deliveries import photos_folder
from jobs.privacy import erase
from jobs.privacy.erasure_search import search
from jobs.privacy.person_to_erase import Person, Request, find_person
from jobs.privacy.retain import delete_photos, expired_days
from jobs.schemas.alcohol import ALCOHOL_REVIEW_CASES
from jobs.settings import Settings, read_settings
from jobs.steps.order import module_of, run_night, run_windows
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.run_records import RunRecords
from jobs.warehouse.staging import Staging
from jobs.warehouse.warehouse import Warehouse
from tests.given.day_of_an_erasure import OUTCOMES, land_day, photo_key
from tests.given.rows import BUSINESS_DATE

REQUESTS = (
    Request(transaction_id="t2", store_id="0042", till_id="03", business_date=BUSINESS_DATE),
    Request(photo_key=photo_key("09"), with_transaction=True),
    Request(photo_key=photo_key("11")),
)
KILLED_AT = (
    (erase, "delete_photos"),
    (erase, "_stage_without"),
    (RunRecords, "write"),
    (erase, "_build_windows"),
    (erase, "_delete_rescored"),
    (erase, "_proof"),
)
"""Functions in which an erasure is killed, one after the other, before it may finish."""
KILLED_LATE = (Staging, "mark_checked")
"""One more such function; after this kill the day is built a second time."""
READ_FROM_LANDING = ("checkout_photos", "transaction_lines")
AS_OF = date(2026, 6, 30)


class KilledError(BaseException):
    """A kill in the middle of a function. No `except Exception` catches it, just like a signal."""


def measure(folder: Path, quick: bool = False) -> dict[str, int | float]:
    """Erase people and delete old photos in a folder; return counts of tries, of finds and of remains.

    Quick: one person is erased with fewer kills, and only the steps that read the landing are run again.
    """
    from jobs.local_spark import local_spark_environment
    from jobs.spark import spark_session

    with patch.dict(os.environ, local_spark_environment(os.environ)):
        spark = spark_session("reliability of erasure")
    settings = read_settings(
        {},
        landing_uri=str(folder / "landing"),
        warehouse_uri=str(folder / "warehouse"),
        review_case_minimum_probability=1e-9,
        max_rejected_line_share=1.0,
    )
    landing = ObjectStore(settings.landing_uri)
    people = _published_people(spark, landing, settings, REQUESTS[:1] if quick else REQUESTS)
    published = folder / "published"
    shutil.copytree(_folder(settings), published)
    places = KILLED_AT if quick else (KILLED_LATE, *KILLED_AT)
    kills = sum(_erase_with_kills(spark, landing, settings, request, person, places) for request, person in people)
    land_day(landing)
    if quick:
        for step in READ_FROM_LANDING:
            module_of(step).run(_warehouse(settings, "again", spark), BUSINESS_DATE, settings)
    else:
        run_night(_warehouse(settings, "again", spark), BUSINESS_DATE, settings, _no_report)
    found = [person for _, person in people if _is_found(settings, person)]
    planted, caught = _controls(settings, published, [person for _, person in people])
    past_retention_before, past_retention_left = _retain(landing, settings)
    return {
        "erased_ids_tried": sum(_id_count(person) for _, person in people),
        "erased_ids_found_after": sum(_id_count(person) for person in found),
        "erasures_killed": kills,
        "controls_planted": planted + 1,
        "controls_caught": caught + (past_retention_before > 0),
        "photos_past_retention_tried": past_retention_before,
        "photos_past_retention_left": past_retention_left,
    }


def _published_people(
    spark: SparkSession, landing: ObjectStore, settings: Settings, requests: tuple[Request, ...]
) -> list[tuple[Request, Person]]:
    """Land a day with an outcome for each case, publish it and its window; return the requests and their people."""
    land_day(landing)
    run_night(_warehouse(settings, "live", spark), BUSINESS_DATE, settings, _no_report)
    reader = _warehouse(settings, "reader")
    cases = reader.published.read_arrow(ALCOHOL_REVIEW_CASES, BUSINESS_DATE, ["case_id"])
    lines = [f"{case},2026-11-23T09:30:00Z,of_age\n" for case in cases["case_id"].to_pylist()] if cases else []
    landing.write(OUTCOMES, "".join(["case_id,reviewed_at,reviewer_outcome\n", *lines]).encode())
    run_windows(_warehouse(settings, "window"), [BUSINESS_DATE], settings, _no_report)
    return [(request, find_person(reader, landing, request)) for request in requests]


def _erase_with_kills(
    spark: SparkSession,
    landing: ObjectStore,
    settings: Settings,
    request: Request,
    person: Person,
    places: Sequence[tuple[object, str]],
) -> int:
    """Repeat the same erasure until it finishes; return the number of kills."""
    kills = 0
    for place, name in (*places, (None, "")):
        warehouse = _warehouse(settings, "erase", spark)
        meant = find_person(warehouse, landing, request) if kills else person
        with ExitStack() as dying:
            if place:
                dying.enter_context(patch.object(place, name, side_effect=KilledError))
            with _counted() as killed:
                erase.erase(warehouse, landing, meant, None, settings, _no_report)
        kills += len(killed)
    return kills


@contextmanager
def _counted() -> Iterator[list[KilledError]]:
    killed: list[KilledError] = []
    try:
        yield killed
    except KilledError as death:
        killed.append(death)


def _is_found(settings: Settings, person: Person) -> bool:
    warehouse = _warehouse(settings, "reader")
    return bool(search(warehouse, person.erased, person.texts).found) or _is_printed(_folder(settings), person)


def _is_printed(warehouse: Path, person: Person) -> bool:
    """Print every row of every file, and return whether the text has the person's ids."""
    for path in warehouse.rglob("*.parquet"):
        cursor = duckdb.sql(f"FROM read_parquet('{path}', hive_partitioning = false)")
        for row in cursor.fetchall():
            printed = str(row)
            if any(text in printed for text in person.texts):
                return True
            if person.transaction and all(f"'{part}'" in printed for part in person.transaction):
                return True
    return False


def _controls(settings: Settings, published: Path, people: list[Person]) -> tuple[int, int]:
    """Put back, one at a time, each file with a person in it; return the number of files, and of those found."""
    planted = caught = 0
    warehouse = _folder(settings)
    for person in people:
        with_person = search(Warehouse(ObjectStore(published.as_uri()), "reader"), person.erased, person.texts).found
        for key in with_person:
            target = warehouse / "_staging" / "planted" / key
            target.parent.mkdir(parents=True)
            shutil.copyfile(published / key, target)
            planted += 1
            caught += _is_found(settings, person)
            shutil.rmtree(warehouse / "_staging" / "planted")
    return planted, caught


def _retain(landing: ObjectStore, settings: Settings) -> tuple[int, int]:
    """Land photos around the limit and apply retention, killed once; count those past the limit before and after."""
    limit = AS_OF - timedelta(days=settings.photo_retention_days)
    for days in range(-3, 4):
        for number in range(20):
            landing.write(f"{photos_folder(limit + timedelta(days=days))}/store_id=1/{number}.jpg", b"photo")
    before = _past(landing, limit)
    for killed in (True, False):
        with ExitStack() as dying, _counted():
            if killed:
                dying.enter_context(patch("jobs.privacy.retain._record", side_effect=KilledError))
            for day in expired_days(landing, AS_OF, settings.time_zone, settings.photo_retention_days):
                warehouse = _warehouse(settings, f"retain-{AS_OF}")
                delete_photos(warehouse, landing, day, settings.photo_retention_days, settings.lock_stale_seconds)
    return before, _past(landing, limit)


def _past(landing: ObjectStore, limit: date) -> int:
    """Count photos past their retention by a plain listing."""
    days = (BUSINESS_DATE - timedelta(days=number) for number in range(400))
    return sum(len(photos_of(landing, day)) for day in days if day < limit)


def _id_count(person: Person) -> int:
    return len(person.photo_keys) + (person.transaction is not None) + (person.case_id is not None)


def _warehouse(settings: Settings, run_id: str, spark: SparkSession | None = None) -> Warehouse:
    return Warehouse(ObjectStore(settings.warehouse_uri), run_id, spark)


def _folder(settings: Settings) -> Path:
    return Path(settings.warehouse_uri.removeprefix("file://"))


def _no_report(step: str, seconds: float) -> None:
    pass
