"""publish_night: makes a checked run visible, table by table, and then says so in pipeline_runs.

It can be killed anywhere and run again: promoting copies staged files over published ones, the commit mark is
written last, and staging goes only after it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import InputError
from jobs.landing.deliveries import receipts_digest
from jobs.landing.tombstones import read_erased, refuse_if_begun_before_an_erasure
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.dictionary import NIGHT_TABLES, PUBLISHED_TABLES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.table import AMOUNT_SUM
from jobs.settings import Settings
from jobs.warehouse import catalogue
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.publishing_lock import PublishingLock
from jobs.warehouse.warehouse import StagedTable, Warehouse
from models.photo_statuses import SEARCHED_STATUSES

log = logging.getLogger(__name__)


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    with warehouse.lock(business_date, settings.lock_stale_seconds) as lock:
        warnings = warehouse.check_warnings(business_date)
        if warnings is not None:
            _publish(warehouse, business_date, settings, warnings, lock)
        elif not warehouse.is_published(business_date):
            raise InputError(
                f"run '{warehouse.run_id}' of {business_date} has not passed check_night; run check_night first"
            )
        lock.renew()
        warehouse.drop_staging(business_date)
    _sweep(warehouse, settings)
    catalogue.refresh(warehouse.store)


def change_in_words(business_date: date, pipeline_run: Mapping[str, Any]) -> str:
    """Say what a run's row in pipeline_runs tells of its change to the day."""
    before, changed = pipeline_run["previous_run_id"], pipeline_run["changed_tables"]
    if before is None:
        return f"{business_date} is published for the first time"
    if not changed:
        return f"{business_date} is published as run '{before}' had it: no table changed"
    return f"{business_date} is published anew; changed since run '{before}': {', '.join(changed)}"


def input_digest(photo_tags: pa.Table, receipts_digest: str) -> str:
    """Return the sha256 over (key, content tag) of all photos, in key order, and the digest of the receipt files."""
    digest = hashlib.sha256()
    for batch in photo_tags.sort_by("photo_key").to_batches():
        for key, etag in zip(batch["photo_key"].to_pylist(), batch["etag"].to_pylist(), strict=True):
            digest.update(f"{key}\0{etag}\n".encode())
    digest.update(receipts_digest.encode())
    return digest.hexdigest()


def _publish(
    warehouse: Warehouse, business_date: date, settings: Settings, warnings: list[str], lock: PublishingLock
) -> None:
    refuse_if_begun_before_an_erasure(warehouse, business_date)
    pipeline_run = _pipeline_run(warehouse, business_date, settings, warnings)
    for table in PUBLISHED_TABLES:
        lock.renew()
        warehouse.promote(table, business_date)
    lock.renew()
    warehouse.write_pipeline_run(business_date, pipeline_run)
    log.info(change_in_words(business_date, pipeline_run))


def _sweep(warehouse: Warehouse, settings: Settings) -> None:
    swept = warehouse.sweep(datetime.now(UTC) - timedelta(days=settings.staging_days))
    for run_id, last_written in swept.items():
        log.info(
            "swept the staging of run '%s', which last wrote there at %s", run_id, f"{last_written:%Y-%m-%d %H:%M}"
        )


def _pipeline_run(
    warehouse: Warehouse, business_date: date, settings: Settings, warnings: list[str]
) -> dict[str, object]:
    columns = ["estimate_status", "content_sha256", "inferred_run_id"]
    photos = warehouse.read_arrow(PHOTO_AGE_ESTIMATES, business_date, columns)
    age_columns = ["estimate_status", "photo_count", "estimated_age_years", "under_18_probability"]
    transactions = warehouse.read_arrow(TRANSACTION_AGES, business_date, age_columns)
    amounts = warehouse.read_arrow(TRANSACTION_LINES, business_date, ["net_amount"])["net_amount"]
    photo_tags = warehouse.read_arrow(CHECKOUT_PHOTOS, business_date, ["photo_key", "etag"])
    lines = warehouse.staged(TRANSACTION_LINES, business_date)
    rejected_lines = warehouse.read_arrow(REJECTED_TRANSACTION_LINES, business_date, ["line_in_file"])
    return {
        "run_id": warehouse.run_id,
        "published_at": datetime.now(UTC),
        "model_version": settings.model_version,
        "inference_engine": settings.inference_engine,
        "landed_photo_count": photos.num_rows,
        "estimated_photo_count": _estimated_count(photos),
        **_inference_counts(photos, warehouse.run_id, warehouse.staged(PHOTO_AGE_ESTIMATES, business_date)),
        "accepted_line_count": len(amounts),
        "rejected_line_count": pc.sum(pc.greater(rejected_lines["line_in_file"], 0)).as_py() or 0,
        "erased_line_count": sum(
            warehouse.staged(table, business_date).erased_line_count
            for table in (TRANSACTION_LINES, REJECTED_TRANSACTION_LINES)
        ),
        "erased_photo_count": len(read_erased(warehouse.store, business_date).photos),
        "transaction_count": transactions.num_rows,
        "estimated_transaction_count": _estimated_count(transactions),
        "photographed_transaction_count": pc.sum(pc.greater(transactions["photo_count"], 0)).as_py() or 0,
        "mean_estimated_age_years": pc.mean(transactions["estimated_age_years"]).as_py(),
        "mean_under_18_probability": pc.mean(transactions["under_18_probability"]).as_py(),
        "net_amount": pc.sum(amounts.cast(AMOUNT_SUM)).as_py() or 0,
        "input_digest": input_digest(photo_tags, lines.receipts_digest or _landed_digest(business_date, settings)),
        **_what_changed(warehouse, business_date),
        "warnings": warnings,
        "table_seconds": {table.name: warehouse.staged(table, business_date).seconds for table in NIGHT_TABLES},
        "table_tries": _table_tries(warehouse, business_date),
    }


def _table_tries(warehouse: Warehouse, business_date: date) -> dict[str, int]:
    staged = {table.name: warehouse.staged(table, business_date) for table in NIGHT_TABLES}
    return {name: table.try_number for name, table in staged.items() if table.try_number is not None}


def _landed_digest(business_date: date, settings: Settings) -> str:
    """Digest what the landing holds now, for lines that were not read from there, as those of rescored days."""
    return receipts_digest(ObjectStore(settings.landing_uri), business_date)


def _what_changed(warehouse: Warehouse, business_date: date) -> dict[str, object]:
    """Compare the staged rows with those that the run before published; a run of an older version has no digests."""
    digests = {table.name: warehouse.staged(table, business_date).content_digest for table in NIGHT_TABLES}
    before = warehouse.run_before(business_date)
    digests_before = dict((before or {}).get("table_digests") or {})
    changed = [name for name, digest in digests.items() if digests_before.get(name) != digest]
    return {
        "previous_run_id": before["run_id"] if before else None,
        "changed_tables": changed if before else None,
        "table_digests": digests,
    }


def _inference_counts(photos: pa.Table, run_id: str, staged: StagedTable) -> dict[str, object]:
    """Count what was taken over, and by content what was searched for a face."""
    own = photos.filter(pc.equal(photos["inferred_run_id"], run_id))
    searched = own.filter(pc.is_in(own["estimate_status"], pa.array(SEARCHED_STATUSES)))
    inferred = pc.count_distinct(searched["content_sha256"]).as_py()
    return {
        "taken_over_photo_count": photos.num_rows - own.num_rows,
        "inferred_photo_count": inferred,
        "inferred_photos_per_second": round(inferred / staged.seconds, 3) if inferred and staged.seconds else None,
    }


def _estimated_count(statuses: pa.Table) -> int:
    return int(pc.sum(pc.equal(statuses["estimate_status"], "estimated")).as_py() or 0)
