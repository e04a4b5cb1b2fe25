"""chain_day: deliver a national chain's day of any size, and write the estimates of its photos. Nothing holds the day.

    python -m tests.benchmarks.chain_day landing|estimates PHOTOS

`landing` delivers about PHOTOS photos, and as many receipts of ten lines. A photo is a sparse file: it has its name,
size and etag, but no content, so it takes an inode and no other space. The listing is real, of a folder on this disk.
Receipts are a Parquet file for each store. A store's receipts are written after its photos: a landing that was cut
short goes on with the first store that has none. `estimates` stages photo_age_estimates for the photos that
checkout_photos has listed. The environment names landing and warehouse, as it does for the steps of a night.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pyarrow as pa

from jobs.errors import InputError
from jobs.landing.deliveries import transactions_folder
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES
from jobs.settings import Settings, read_settings
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.benchmarks.large_day import SEED, estimates_of, lines_of, midnight_of, photos_of, store_count, store_days
from tests.benchmarks.measure_million import land_receipts, mark_complete, receipts_key
from tests.benchmarks.measure_nights import BUSINESS_DATE, RUN_ID

SMALLEST_PHOTO_BYTES, LARGEST_PHOTO_BYTES = 80_000, 320_000
SMALLEST_FACE_PIXELS, LARGEST_FACE_PIXELS = 60, 400
INODES_TO_SPARE = 1.05
"""An inode for each photo, and one for each till's folder."""


def main() -> None:
    """Deliver the day, or stage its estimates, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("landing", "estimates"))
    parser.add_argument("photos", type=int)
    arguments = parser.parse_args()
    settings = read_settings(os.environ)
    if arguments.part == "landing":
        land(ObjectStore(settings.landing_uri), arguments.photos)
    else:
        stage_estimates(Warehouse(ObjectStore(settings.warehouse_uri), RUN_ID), arguments.photos)


def land(landing: ObjectStore, photo_count: int) -> None:
    """Deliver about `photo_count` photos, and as many receipts, to a folder, except those of stores that have landed.

    Raises InputError if the file system has too few inodes.
    """
    root = Path(url2pathname(urlsplit(landing.uri).path))
    root.mkdir(parents=True, exist_ok=True)
    midnight = midnight_of(BUSINESS_DATE)
    landed = {entry.key for entry in landing.list(transactions_folder(BUSINESS_DATE))}
    _refuse_too_few_inodes(root, photo_count * (1 - len(landed) / store_count(photo_count)))
    for day, random in store_days(photo_count):
        if receipts_key(day.store_id) not in landed:
            keys = photos_of(day, midnight).column("photo_key").to_pylist()
            _land_photos(root, keys, _photo_sizes(day.store_id, len(keys)))
            land_receipts(landing, day.store_id, lines_of(day, midnight, random))
    mark_complete(landing)


def stage_estimates(warehouse: Warehouse, photo_count: int) -> None:
    """Stage an estimate for each photo that checkout_photos of the same day has listed, with its etag.

    They count as inferred by this run, and each photo has another content.
    """
    model_version = Settings.model_fields["model_version"].default
    midnight = midnight_of(BUSINESS_DATE)
    with warehouse.staging.batches(CHECKOUT_PHOTOS, BUSINESS_DATE, ["photo_key", "etag"]) as batches:
        listed = _Rows(batches)
        drawn = (estimates_of(day, midnight, model_version, random) for day, random in store_days(photo_count))
        estimates = (_of_listed(estimates, listed.take(estimates.num_rows)) for estimates in drawn)
        warehouse.staging.stage_batches(PHOTO_AGE_ESTIMATES, BUSINESS_DATE, estimates)


class _Rows:
    """The rows of a stream of batches, taken a number at a time."""

    def __init__(self, batches: pa.RecordBatchReader) -> None:
        self._batches = iter(batches)
        self._waiting = batches.schema.empty_table()

    def take(self, count: int) -> pa.Table:
        """Return the next rows; fewer at the end of the stream."""
        while self._waiting.num_rows < count and (batch := next(self._batches, None)) is not None:
            self._waiting = pa.concat_tables([self._waiting, pa.Table.from_batches([batch])])
        taken, self._waiting = self._waiting.slice(0, count), self._waiting.slice(count)
        return taken


def _of_listed(estimates: pa.RecordBatch, listed: pa.Table) -> pa.RecordBatch:
    """Give estimates what is known only of listed photos. Raises RuntimeError when they are not the same photos."""
    if not listed["photo_key"].equals(pa.chunked_array([estimates["photo_key"]])):
        raise RuntimeError(f"checkout_photos does not list the photos that follow '{estimates['photo_key'][0]}'")
    is_usable = pa.compute.equal(estimates["estimate_status"], "estimated")
    columns = {
        "etag": listed["etag"].combine_chunks(),
        "content_sha256": pa.array(_digests(estimates["photo_key"].to_pylist())),
        "inferred_run_id": pa.repeat(RUN_ID, len(estimates)),
        "face_side_pixels": pa.compute.if_else(is_usable, _face_sides(len(estimates)), None),
    }
    for name, values in columns.items():
        place = estimates.schema.get_field_index(name)
        estimates = estimates.set_column(
            place, estimates.schema.field(place), values.cast(estimates.schema.types[place])
        )
    return estimates


def _digests(keys: Iterable[str]) -> list[str]:
    return [hashlib.sha256(key.encode()).hexdigest() for key in keys]


def _face_sides(count: int) -> pa.Array:
    return pa.array(np.random.default_rng(SEED).integers(SMALLEST_FACE_PIXELS, LARGEST_FACE_PIXELS, count))


def _photo_sizes(store_id: str, count: int) -> list[int]:
    random = np.random.default_rng([SEED, int(store_id), 1])
    sizes: list[int] = random.integers(SMALLEST_PHOTO_BYTES, LARGEST_PHOTO_BYTES, count).tolist()
    return sizes


def _land_photos(root: Path, keys: Sequence[str], sizes: Sequence[int]) -> None:
    """Make a sparse file for each photo. Keys are in order, so each till's folder is opened once."""
    for folder, photos in groupby(zip(keys, sizes, strict=True), lambda photo: photo[0].rpartition("/")[0]):
        (root / folder).mkdir(parents=True, exist_ok=True)
        with _opened(root / folder, os.O_RDONLY) as till:
            for key, size in photos:
                with _opened(key.rpartition("/")[2], os.O_CREAT | os.O_WRONLY, till) as photo:
                    os.ftruncate(photo, size)


@contextmanager
def _opened(path: Path | str, flags: int, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o644, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_too_few_inodes(root: Path, photo_count: float) -> None:
    free = os.statvfs(root).f_favail
    # Some file systems make inodes as they need them, and tell 0.
    if 0 < free < INODES_TO_SPARE * photo_count:
        raise InputError(
            f"folder '{root}' has room for {free:,} more files, and {photo_count:,.0f} photos are to be landed: use "
            "another disk, or fewer photos"
        )


if __name__ == "__main__":
    main()
