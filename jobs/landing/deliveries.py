"""deliveries: lists and reads what the stores delivered for a day. Other modules judge it.

{landing}/photos/business_date=D/…           photo objects, and _SUCCESS when all are there
{landing}/transactions/business_date=D/…     *.parquet, *.csv, *.jsonl and so on (see landed_files), and _SUCCESS
{landing}/reviewed_cases/business_date=D/…   the same kinds of files, with reviewers' outcomes for cases of the day

Below a day, a file or folder with a name that begins with _ or . is a mark or a leftover of a job, and not data. An
empty object with which S3 tools represent a folder is not data either.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from pathlib import PurePosixPath

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.errors import StoreError
from jobs.landing.cashier_pseudonyms import key_generation, pseudonyms_of
from jobs.landing.landed_files import (
    LANDED_LINE_SCHEMA,
    OUTCOME_FIELDS,
    has_known_ending,
    landed_schema,
    read_landed_lines,
)
from jobs.warehouse.arrow_frames import arrow_frame
from jobs.warehouse.object_store import ObjectStore, StoredObject

SUCCESS = "_SUCCESS"
LISTING_TASKS = 32
PAGE_ROWS = 10_000
LANDED_PHOTO_SCHEMA = pa.schema(
    [
        pa.field("photo_key", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("landed_at", pa.timestamp("us", tz="UTC")),
    ]
)


def photos_folder(business_date: date) -> str:
    """Return the folder of a day's photos under the landing URI."""
    return f"photos/business_date={business_date.isoformat()}"


def transactions_folder(business_date: date) -> str:
    """Return the folder of a day's receipts under the landing URI."""
    return f"transactions/business_date={business_date.isoformat()}"


def missing_markers(landing: ObjectStore, business_date: date) -> list[str]:
    """Return the URIs of the completion marks (_SUCCESS) that the stores have not written for the day yet."""
    marks = [f"{folder(business_date)}/{SUCCESS}" for folder in (photos_folder, transactions_folder)]
    return [landing.location(mark) for mark in marks if not landing.exists(mark)]


def receipt_files(landing: ObjectStore, business_date: date) -> list[StoredObject]:
    """List a day's receipt files, in order of their keys."""
    return _data_files(landing, transactions_folder(business_date))


def receipts_digest(landing: ObjectStore, business_date: date) -> str:
    """Return a sha256 that identifies a day's receipt files: over their keys and etags, in order of keys."""
    tags = (f"{entry.key}\0{entry.etag}\n" for entry in receipt_files(landing, business_date))
    return hashlib.sha256("".join(tags).encode()).hexdigest()


@contextmanager
def unchanged_receipts(landing: ObjectStore, business_date: date) -> Iterator[str]:
    """Return the digest of a day's receipt files to a `with` block that reads them.

    Raises StoreError if the files have changed by the end of the block: its rows may be of both versions.
    """
    digest = receipts_digest(landing, business_date)
    yield digest
    if receipts_digest(landing, business_date) != digest:
        raise StoreError(
            f"receipt files in '{landing.location(transactions_folder(business_date))}' were added, replaced or "
            "deleted while they were read; run the step again"
        )


def landed_outcomes(landing: ObjectStore, business_date: date) -> pa.Table:
    """Read the reviewers' outcomes delivered for the cases of a day: a row per record, all fields as text."""
    files = _data_files(landing, f"reviewed_cases/business_date={business_date.isoformat()}")
    batches = [batch for entry in files for batch in read_landed_lines(landing, entry.key, OUTCOME_FIELDS)]
    return pa.Table.from_batches(batches, landed_schema(OUTCOME_FIELDS))


def landed_photos(spark: SparkSession, landing_uri: str, business_date: date) -> DataFrame:
    """List the photos of a day with Spark: photo_key, etag, size_bytes and landed_at (when it was delivered).

    The sub-folders of the day are listed in parallel.
    """
    landing = ObjectStore(landing_uri)
    day_folder = photos_folder(business_date)
    folders, objects = landing.list_folder(day_folder)
    # Most days have marks there and no photo: then no task is needed for them.
    photos = [entry for entry in objects if _is_photo(entry, day_folder)]
    in_the_day = [Folders([], photos)] if photos else []
    # Every n-th folder, so that large neighbours in the listing do not all go to one task.
    shares = [Folders(folders[start::LISTING_TASKS], []) for start in range(min(len(folders), LISTING_TASKS))]

    def read(share: Folders) -> Iterator[pa.RecordBatch]:
        return _photo_batches(chain(share.objects, *map(landing.list, share.folders)), day_folder)

    return arrow_frame(spark, landing, LANDED_PHOTO_SCHEMA, [*in_the_day, *shares], read)


def landed_photo_batches(landing: ObjectStore, business_date: date) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `landed_photos` in batches, without Spark and without parallel listing."""
    day_folder = photos_folder(business_date)
    return _photo_batches(landing.list(day_folder), day_folder)


def landed_transaction_lines(spark: SparkSession, landing_uri: str, business_date: date) -> DataFrame:
    """Read the receipt files of a day with Spark, one task per file. Returns a row per record, all fields as text.

    The columns are those of landed_files.LANDED_LINE_SCHEMA.

    If the environment has a pseudonym key, cashier ids are already pseudonyms.
    """
    landing = ObjectStore(landing_uri)
    files = [entry.key for entry in receipt_files(landing, business_date)]
    return arrow_frame(spark, landing, LANDED_LINE_SCHEMA, files, line_reader(landing, key_generation(os.environ)))


def line_reader(landing: ObjectStore, generation: str | None) -> Callable[[str], Iterator[pa.RecordBatch]]:
    """Return a function that reads a receipt file in a Spark task, and replaces cashier ids by pseudonyms.

    `generation` names the pseudonym key, which the environment of the task must have.
    """

    def read(key: str) -> Iterator[pa.RecordBatch]:
        # Checked in each task: an executor with another key would write pseudonyms that fit no others.
        pseudonyms = pseudonyms_of(generation, os.environ)
        batches = read_landed_lines(landing, key)
        yield from map(pseudonyms.applied_to, batches) if pseudonyms else batches

    return read


@dataclass(frozen=True)
class Folders:
    """A share of a parallel listing: folders that are still to be listed, and objects that are listed already."""

    folders: Sequence[str]
    objects: Sequence[StoredObject]


def _data_files(landing: ObjectStore, folder: str) -> list[StoredObject]:
    """List the data files of a folder in order of their keys, without marks and folders."""
    found = [entry for entry in landing.list(folder) if not _is_mark(entry.key, folder)]
    parents = {str(parent) for entry in found for parent in PurePosixPath(entry.key).parents}
    # An empty file may be a failed delivery, to be reported; an empty object with files below it shows a folder.
    data = (e for e in found if e.size_bytes or (e.key not in parents and has_known_ending(e.key)))
    return sorted(data, key=lambda entry: entry.key)


def _is_mark(key: str, folder: str) -> bool:
    """Say whether a key is the folder itself, or has a part below it that begins with _ or a point."""
    parts = key.removeprefix(folder).split("/")[1:]
    return not parts or any(part.startswith(("_", ".")) and part not in (".", "..") for part in parts)


def _is_folder(entry: StoredObject) -> bool:
    """Say whether an object is one by which an S3 tool shows a folder; the listing has removed the / from its end."""
    name = entry.key.rsplit("/", 1)[-1]
    return entry.size_bytes == 0 and ("." not in name or name.endswith("_$folder$"))


def _is_photo(entry: StoredObject, day_folder: str) -> bool:
    return not (_is_mark(entry.key, day_folder) or _is_folder(entry))


def _photo_batches(listed: Iterable[StoredObject], day_folder: str) -> Iterator[pa.RecordBatch]:
    photos = (entry for entry in listed if _is_photo(entry, day_folder))
    while page := list(islice(photos, PAGE_ROWS)):
        yield _photo_batch(page)


def _photo_batch(photos: list[StoredObject]) -> pa.RecordBatch:
    columns = (
        [photo.key for photo in photos],
        [photo.etag for photo in photos],
        [photo.size_bytes for photo in photos],
        [photo.modified_at for photo in photos],
    )
    arrays = [pa.array(values, field.type) for values, field in zip(columns, LANDED_PHOTO_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LANDED_PHOTO_SCHEMA)
