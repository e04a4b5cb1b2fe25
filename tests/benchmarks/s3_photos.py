"""s3_photos: serve photos from a real S3 server on this machine, which shares its cores with the readers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.warehouse.object_store import ObjectStore
from tests.benchmarks.job import photo_files
from tests.servers.s3_server import BUCKET, S3_ENVIRONMENT, running_s3_server

UPLOAD_THREADS = 8


@contextmanager
def photos_on_s3(folders: dict[str, Path]) -> Iterator[dict[str, str]]:
    """Run a server with the photos of each folder under a prefix of the folder's name; yield the URIs by name."""
    with TemporaryDirectory(prefix="checkout-ages-s3-") as server_folder, running_s3_server(Path(server_folder)):
        os.environ |= S3_ENVIRONMENT
        uris = {name: f"s3://{BUCKET}/{name}" for name in folders}
        for name, folder in folders.items():
            _upload(folder, ObjectStore(uris[name]))
        yield uris


def _upload(folder: Path, store: ObjectStore) -> None:
    with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
        list(pool.map(lambda photo: store.write(photo.name, photo.read_bytes()), photo_files(str(folder))))
