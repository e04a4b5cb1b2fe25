"""landed_files: write landed files, and read the lines back."""

from __future__ import annotations

import gzip
from typing import Any

from jobs.landing.landed_files import read_landed_lines
from jobs.warehouse.object_store import ObjectStore


def zipped_bytes(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def lines_of(landing: ObjectStore, key: str, content: bytes) -> list[dict[str, Any]]:
    landing.write(key, content)
    return [line for batch in read_landed_lines(landing, key) for line in batch.to_pylist()]


HEADER_LINE = "transaction_id,store_id,quantity\n"
