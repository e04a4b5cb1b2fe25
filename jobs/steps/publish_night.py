"""publish_night: makes a checked run visible, table by table, and then records it in pipeline_runs.

It can be killed at any point and run again: it copies staged files over published ones, writes the row of
pipeline_runs last, as the commit mark, and deletes the staging only after that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from jobs.errors import InputError
from jobs.landing.deliveries import receipts_digest
from jobs.landing.tombstones import read_erased, refuse_if_begun_before_an_erasure
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.dictionary import NIGHT_TABLES, PUBLISHED_TABLES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.runs import PIPELINE_RUNS
from jobs.settings import Settings
from jobs.warehouse import catalogue
from jobs.warehouse.duckdb_tables import staged_figures
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.publishing_lock import PublishingLock
from jobs.warehouse.staging import StagedTable
from jobs.warehouse.warehouse import Warehouse
from models.serving.photo_statuses import SEARCHED_STATUSES

log = logging.getLogger(__name__)

StagedTables = Mapping[str, StagedTable]
"""Row count, digest and so on of each staged table, by the table's name."""

OF_PHOTOS = """
    SELECT count(*) FILTER (estimate_status = 'estimated') AS estimated,
        count(*) FILTER (inferred_run_id IS DISTINCT FROM $run_id) AS taken_over,
        -- equal photos are inferred once
        count(DISTINCT content_sha256) FILTER (inferred_run_id = $run_id AND estimate_status IN $searched) AS inferred
    FROM photo_age_estimates"""
OF_LINES = "SELECT coalesce(sum(net_amount), 0) AS net_amount FROM transaction_lines"
# Line 0 is a complaint about a whole file, not a line.
OF_REJECTED_LINES = "SELECT count(*) FILTER (line_in_file > 0) AS rejected_line_count FROM rejected_transaction_lines"
# favg carries what rounding drops, so that the means of a large day have all their digits.
OF_TRANSACTIONS = """
    SELECT count(*) AS transaction_count,
        count(*) FILTER (estimate_status = 'estimated') AS estimated_transaction_count,
        count(*) FILTER (photo_count > 0) AS photographed_transaction_count,
        favg(estimated_age_years) AS mean_estimated_age_years,
        favg(under_18_probability) AS mean_under_18_probability
    FROM transaction_ages"""


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    with warehouse.runs.lock(business_date, settings.lock_stale_seconds) as lock:
        warnings = warehouse.staging.check_warnings(business_date)
        if warnings is not None:
            other_facts = {
                "model_version": settings.model_version,
                "inference_engine": settings.inference_engine,
                "warnings": warnings,
            }
            _publish(warehouse, business_date, settings.landing_uri, other_facts, lock)
        # With its commit mark, the run was killed while staging was deleted: only that is left to do.
        elif not warehouse.runs.has_own(business_date):
            raise InputError(
                f"run '{warehouse.run_id}' of {business_date} has not passed check_night; run check_night first"
            )
        lock.renew()
        # Renewed before: a process that lost the lock while it slept must not delete what another publishes.
        warehouse.staging.drop(business_date)
    _sweep(warehouse, settings.staging_days)
    catalogue.refresh(warehouse.store)


def change_in_words(business_date: date, pipeline_run: Mapping[str, Any]) -> str:
    """Say in one sentence how a run changed the day, from its row in pipeline_runs."""
    before, changed = pipeline_run["previous_run_id"], pipeline_run["changed_tables"]
    if before is None:
        return f"{business_date} is published for the first time"
    if not changed:
        return f"{business_date} is published again, and no table changed since run '{before}'"
    return f"{business_date} is published again; changed since run '{before}': {', '.join(changed)}"


def input_digest(photo_tags: Iterable[pa.RecordBatch], receipts_digest: str) -> str:
    """Return the sha256 that identifies the input of a night: keys and etags of its photos, and its receipt files.

    `photo_tags` has photo_key and etag of each photo, in the order of the keys, as the staged checkout_photos has them;
    `receipts_digest` is the digest of the receipt files.
    """
    digest = hashlib.sha256()
    for batch in photo_tags:
        for key, etag in zip(batch["photo_key"].to_pylist(), batch["etag"].to_pylist(), strict=True):
            digest.update(f"{key}\0{etag}\n".encode())
    digest.update(receipts_digest.encode())
    return digest.hexdigest()


def _publish(
    warehouse: Warehouse, business_date: date, landing_uri: str, other_facts: Mapping[str, object], lock: PublishingLock
) -> None:
    """Publish all tables, and then the row of pipeline_runs: the facts of staged tables, and `other_facts`."""
    staged = {table.name: warehouse.staging.staged(table, business_date) for table in PUBLISHED_TABLES}
    # Under the lock: an erasure writes its tombstone under the same one, so none can come in between.
    refuse_if_begun_before_an_erasure(warehouse, business_date, staged)
    pipeline_run = {**_pipeline_run(warehouse, business_date, landing_uri, staged), **other_facts}
    warehouse.publish(PUBLISHED_TABLES, business_date, pipeline_run, PIPELINE_RUNS, lock)
    log.info(change_in_words(business_date, pipeline_run))


def _sweep(warehouse: Warehouse, staging_days: float) -> None:
    swept = warehouse.staging.sweep(datetime.now(UTC) - timedelta(days=staging_days))
    for run_id, last_written in swept.items():
        log.info(
            "deleted the staging of run '%s', which last wrote there at %s", run_id, f"{last_written:%Y-%m-%d %H:%M}"
        )


def _pipeline_run(
    warehouse: Warehouse, business_date: date, landing_uri: str, staged: StagedTables
) -> dict[str, object]:
    """Return what the staged tables say of the run, as columns of pipeline_runs."""
    return {
        "run_id": warehouse.run_id,
        "published_at": datetime.now(UTC),
        **_of_photos(warehouse, business_date, staged[PHOTO_AGE_ESTIMATES.name]),
        **_of_lines(warehouse, business_date, staged),
        **_of_transactions(warehouse, business_date),
        **_of_input(warehouse, business_date, landing_uri, staged[TRANSACTION_LINES.name]),
        **_what_changed(warehouse, business_date, staged),
        **_of_tasks(staged),
    }


def _of_photos(warehouse: Warehouse, business_date: date, staged: StagedTable) -> dict[str, object]:
    columns = ["estimate_status", "content_sha256", "inferred_run_id"]
    photos = staged_figures(
        warehouse.staging,
        *(PHOTO_AGE_ESTIMATES, business_date, columns, OF_PHOTOS),
        run_id=warehouse.run_id,
        searched=list(SEARCHED_STATUSES),
    )
    inferred = photos["inferred"]
    return {
        "landed_photo_count": staged.row_count,
        "estimated_photo_count": photos["estimated"],
        "erased_photo_count": len(read_erased(warehouse.store, business_date).photos),
        "taken_over_photo_count": photos["taken_over"],
        "inferred_photo_count": inferred,
        "inferred_photos_per_second": round(inferred / staged.seconds, 3) if inferred and staged.seconds else None,
    }


def _of_lines(warehouse: Warehouse, business_date: date, staged: StagedTables) -> dict[str, object]:
    staging, line_tables = warehouse.staging, (TRANSACTION_LINES, REJECTED_TRANSACTION_LINES)
    return {
        "accepted_line_count": staged[TRANSACTION_LINES.name].row_count,
        "erased_line_count": sum(staged[table.name].erased_line_count for table in line_tables),
        **staged_figures(staging, TRANSACTION_LINES, business_date, ["net_amount"], OF_LINES),
        **staged_figures(staging, REJECTED_TRANSACTION_LINES, business_date, ["line_in_file"], OF_REJECTED_LINES),
    }


def _of_transactions(warehouse: Warehouse, business_date: date) -> dict[str, object]:
    columns = ["estimate_status", "photo_count", "estimated_age_years", "under_18_probability"]
    return staged_figures(warehouse.staging, TRANSACTION_AGES, business_date, columns, OF_TRANSACTIONS)


def _of_input(warehouse: Warehouse, business_date: date, landing_uri: str, lines: StagedTable) -> dict[str, object]:
    # Rescored days did not read the receipts: for them it is the digest of the files that are in the landing now.
    receipts = lines.receipts_digest or receipts_digest(ObjectStore(landing_uri), business_date)
    with warehouse.staging.batches(CHECKOUT_PHOTOS, business_date, ["photo_key", "etag"]) as photo_tags:
        return {"input_digest": input_digest(photo_tags, receipts)}


def _of_tasks(staged: StagedTables) -> dict[str, object]:
    night_tables = {table.name: staged[table.name] for table in NIGHT_TABLES}
    tries = {name: table.try_number for name, table in night_tables.items() if table.try_number is not None}
    return {"table_seconds": {name: table.seconds for name, table in night_tables.items()}, "table_tries": tries}


def _what_changed(warehouse: Warehouse, business_date: date, staged: StagedTables) -> dict[str, object]:
    """Compare the staged rows with those of the run that published before; runs of older versions have no digests."""
    digests = {table.name: staged[table.name].content_digest for table in NIGHT_TABLES}
    before = warehouse.runs.before(business_date)
    digests_before = dict((before or {}).get("table_digests") or {})
    changed = [name for name, digest in digests.items() if digests_before.get(name) != digest]
    return {
        "previous_run_id": before["run_id"] if before else None,
        "changed_tables": changed if before else None,
        "table_digests": digests,
    }
