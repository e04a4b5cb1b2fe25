"""erase: removes a person, named by a receipt or a photo, from every table and partition, for good, and proves it.

The steps, in this order: write a tombstone, which every later run of the day respects; delete the photos from the
landing, and the staging of other runs; publish the day again, built by the night's own steps from its published
tables without the person; rebuild the windows that contain the day; delete the day from the tables of other models
(`rescore`); search all files; write the proof; rewrite the report pages that show the day. It can be killed at any
point and run again. Totals of the day are then lower than the tills' log: `erased_line_count` in pipeline_runs says by
how many lines.

Receipt files and review outcomes stay in the landing as they were delivered; nights and windows leave the person's
records out.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.errors import FailedCheckError, InputError
from jobs.landing.deliveries import photos_folder
from jobs.landing.photo_keys import key_fields
from jobs.landing.tombstones import (
    FOLDER,
    HASHES,
    KEY,
    ErasedPeople,
    read_erased,
    without_erased_lines,
    without_erased_photos,
    without_erased_rejected_lines,
)
from jobs.privacy.erasure_search import Search, search
from jobs.privacy.person_to_erase import Person
from jobs.schemas.alcohol import CASHIER_ALCOHOL_AUDIT, REVIEWED_CASES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.table import Table
from jobs.settings import Settings
from jobs.steps import check_night
from jobs.steps.order import TABLE_STEPS, StepDone, module_of, run_windows
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Origin
from jobs.warehouse.warehouse import Warehouse

TAKEN_FROM_PUBLISHED = (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    TRANSACTION_LINES,
    REJECTED_TRANSACTION_LINES,
)
"""Tables that are copied without the person instead of being built: their sources may no longer be in the landing."""
LINE_TABLES = (TRANSACTION_LINES, REJECTED_TRANSACTION_LINES)
BUILT_STEPS = [step for step in TABLE_STEPS if step not in {table.name for table in TAKEN_FROM_PUBLISHED}]
READ_BYTES = 1 << 20

Proof = dict[str, Any]
Tombstone = dict[str, Any]


def erase(
    warehouse: Warehouse,
    landing: ObjectStore,
    person: Person,
    reason: str | None,
    settings: Settings,
    step_done: StepDone,
) -> Proof:
    """Erase a person, and return the proof, which is also stored next to the tombstone.

    Raises InputError for problems that an operator can fix, and FailedCheckError when a check of the day fails or the
    search still finds the person. Then the tombstone stays, and repeating the same request completes the erasure.
    """
    day = person.business_date
    run_id = person.tombstone["run_id"] if person.tombstone else _new_run_id()
    # An interrupted erasure continues under its own run id, and finds what it has staged.
    own = Warehouse(warehouse.store, run_id, warehouse.session)
    with _timed("tombstone", step_done):
        tombstone = person.tombstone or _write_tombstone(own, person, reason, settings.lock_stale_seconds)
        erased = read_erased(own.store, day)
    with _timed("landed photos", step_done):
        photo_count = delete_photos(landing, erased, settings.photo_key_template)
    _publish_without(own, erased, tombstone, settings, step_done)
    windows = _build_windows(own, day, settings, step_done)
    with _timed("rescored days", step_done):
        rescored = _delete_rescored(own.store, day)
    with _timed("search", step_done):
        found = search(own, erased, person.texts)
    if found.found:
        files = ", ".join(f"'{key}' ({count} rows)" for key, count in found.found.items())
        raise FailedCheckError(
            f"the search still finds the person in {files}; run the same erasure again: it continues from here"
        )
    proof = _proof(own, day, tombstone, found) | {
        "deleted_photo_count": photo_count,
        "rebuilt_windows": [last_date.isoformat() for last_date in windows],
        "deleted_rescored_versions": rescored,
    }
    own.store.write(_key(day, run_id, "proof"), json.dumps(proof, indent=2).encode())
    with _timed("restate_reports", step_done):  # after the proof: pages hold sums, and keep no proof back
        module_of("restate_reports").run(own, day, settings)
    return proof


def proof_location(store: ObjectStore, proof: Proof) -> str:
    """Return the URI of an erasure's proof in the warehouse."""
    return store.location(_key(date.fromisoformat(proof["business_date"]), proof["run_id"], "proof"))


def _write_tombstone(own: Warehouse, person: Person, reason: str | None, lock_stale_seconds: int) -> Tombstone:
    """Record whom every run must leave out from now on, and delete what runs have staged before.

    Under the lock of the day no run is publishing; a run that wants to publish later is refused.
    """
    day, erased = person.business_date, person.erased
    # Searched before the tombstone: the proof says how many rows there were.
    before = search(own, erased, person.texts)
    with own.runs.lock(day, lock_stale_seconds):
        live_run = own.runs.published(day)
        if live_run:
            _refuse_half_published(own, day, live_run["run_id"])
        tombstone = {
            "run_id": own.run_id,
            "requested_at": datetime.now(UTC).isoformat(),
            "reason": reason,
            "live_run_id": live_run["run_id"] if live_run else None,
            **{name: sorted(getattr(erased, name)) for name in HASHES},
            "rows_found": before.found,
        }
        own.store.write(_key(day, own.run_id, "tombstone"), json.dumps(tombstone, indent=2).encode())
        own.staging.drop_of_others({day})
    return tombstone


def delete_photos(landing: ObjectStore, erased: ErasedPeople, photo_key_template: str) -> int:
    """Delete the erased photos from the landing, and photos whose key names an erased transaction; return how many."""
    folder = photos_folder(erased.business_date)
    keys = [entry.key for entry in landing.list(folder)]
    # Photos that landed after the night are in no table; their keys may still name the receipt.
    named = key_fields(pa.array(keys, pa.string()), f"{folder}/{photo_key_template}")
    nothing = pa.nulls(len(keys), pa.string())
    receipts = zip(*(named.get(name, nothing).to_pylist() for name in KEY), strict=True)
    gone = [
        key
        for key, receipt in zip(keys, receipts, strict=True)
        if erased.has_photo(key) or (None not in receipt and erased.has_transaction(*receipt))
    ]
    landing.delete(gone)
    return len(gone)


def _publish_without(
    own: Warehouse, erased: ErasedPeople, tombstone: Tombstone, settings: Settings, step_done: StepDone
) -> None:
    """Publish the day without the person, unless it is not published or another run has published it since.

    The age model is that of the published day; the other settings are those of today.
    """
    day = erased.business_date
    live_run = own.runs.published(day)
    if live_run is None:
        return
    of_day = {name: live_run[name] for name in ("model_version", "inference_engine") if live_run[name]}
    settings = settings.model_copy(update=of_day)
    own = own.with_model(settings.model_version)
    if own.staging.check_warnings(day) is None and live_run["run_id"] == tombstone["live_run_id"]:
        _refuse_half_published(own, day, live_run["run_id"])
        _stage_without(own, erased, live_run.get("erased_line_count") or 0, step_done)
        for step in BUILT_STEPS:
            with _timed(step, step_done):
                module_of(step).run(own, day, settings)
        with _timed("check_night", step_done):
            check_night.run(own, day, settings, is_built_again=True)
    with _timed("publish_night", step_done):
        last_run = own.runs.published(day)
        # A run that published since the tombstone has left the person out already; publishing over it would lose its
        # rows.
        if last_run and last_run["run_id"] in (tombstone["live_run_id"], own.run_id):
            module_of("publish_night").run(own, day, settings)
        else:
            own.staging.drop(day)


def _refuse_half_published(own: Warehouse, day: date, live_run_id: str) -> None:
    # Another run id than the live one means that a publishing run died halfway; such a mixture does not add up.
    run_ids = {own.published.run_id(table, day) for table in TAKEN_FROM_PUBLISHED} - {None}
    if run_ids - {live_run_id}:
        raise InputError(
            f"the published tables of {day} are not all from run '{live_run_id}': another run died while it published "
            "them; finish that run, or run the day again, and then erase again"
        )


def _stage_without(own: Warehouse, erased: ErasedPeople, erased_before: int, step_done: StepDone) -> None:
    """Stage the published tables that other tables are made from, without erased rows."""
    day = erased.business_date
    for table in TAKEN_FROM_PUBLISHED:
        with _timed(table.name, step_done):
            published = own.read_published(table, day)
            if published is None:
                raise InputError(f"table '{table.name}' of {day} is not published in '{own.store.uri}'")
            kept = _without(own, table, published, erased)
            left_out = own.published.row_count(table, day) - kept.count() if table in LINE_TABLES else 0
            # Erasures add up: lines that an earlier one left out are still missing from the tills' totals.
            line_count = left_out + (erased_before if table is TRANSACTION_LINES else 0)
            own.stage(table, day, kept, Origin(erasure_count=erased.erasure_count, erased_line_count=line_count))


def _without(own: Warehouse, table: Table, rows: DataFrame, erased: ErasedPeople) -> DataFrame:
    if table is CHECKOUT_PHOTOS:
        return without_erased_photos(rows, erased)
    if table is PHOTO_AGE_ESTIMATES:
        kept_photos = own.read(CHECKOUT_PHOTOS, erased.business_date).select("photo_key")
        return rows.join(kept_photos, "photo_key", how="left_semi")
    if table is TRANSACTION_LINES:
        return without_erased_lines(rows, erased)
    return without_erased_rejected_lines(rows, erased)


def _build_windows(own: Warehouse, day: date, settings: Settings, step_done: StepDone) -> list[date]:
    """Rebuild the published windows that hold the day."""
    with_day = {day + timedelta(days=number) for number in range(settings.window_days)}
    # Windows that other runs have staged may hold an outcome of the person.
    own.staging.drop_of_others(with_day, REVIEWED_CASES)
    if with_day.isdisjoint(own.published.dates(CASHIER_ALCOHOL_AUDIT)):
        return []
    return run_windows(Warehouse(own.store, f"{own.run_id}-window"), [day], settings, step_done)


def _delete_rescored(store: ObjectStore, day: date) -> list[str]:
    """Delete the day from the warehouses of other models, which can be rebuilt; return their versions."""
    deleted = []
    for folder in store.list_folder("_rescored")[0]:
        keys = [entry.key for entry in store.list(folder) if f"/business_date={day.isoformat()}/" in entry.key]
        store.delete(keys)
        deleted += [folder.rpartition("/")[2]] if keys else []
    return deleted


def _proof(own: Warehouse, day: date, tombstone: Tombstone, found: Search) -> Proof:
    """Return the proof: rows found before, what was published without the person, and the search that found nothing."""
    live_run = own.runs.published(day)
    published = [key for key in own.parquet_files() if f"/business_date={day.isoformat()}/" in key and key[0] != "_"]
    return {
        "run_id": own.run_id,
        "business_date": day.isoformat(),
        "requested_at": tombstone["requested_at"],
        "proved_at": datetime.now(UTC).isoformat(),
        "reason": tombstone["reason"],
        "erased_sha256": {name: tombstone[name] for name in HASHES},
        "rows_found_before": tombstone["rows_found"],
        "published_by_run_id": live_run["run_id"] if live_run else None,
        "published_files": {key: _sha256(own.store, key) for key in published},
        "searched_file_count": found.file_count,
        "searched_row_count": found.row_count,
        "rows_found_after": found.found,
        "kept": "receipt files and review outcomes in the landing; nights and windows leave the person's records out",
    }


def _sha256(store: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    with store.reader(key) as stream:
        for chunk in iter(lambda: stream.read(READ_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _key(day: date, run_id: str, name: str) -> str:
    return f"{FOLDER}/business_date={day.isoformat()}/{run_id}/{name}.json"


def _new_run_id() -> str:
    return f"erase-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@contextmanager
def _timed(step: str, step_done: StepDone) -> Iterator[None]:
    started = time.monotonic()
    yield
    step_done(step, time.monotonic() - started)
