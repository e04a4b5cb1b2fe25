"""cluster: what must hold where Spark's executors run on other machines: no shared disk, the same code everywhere."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGES = ("jobs", "models")
INSTALLED = Path(__file__).resolve().parents[1]


def refuse_folder_of_this_machine(session: SparkSession, uri: str) -> None:
    """Refuse to read or write a folder where tasks run on machines that do not have it.

    Raises InputError naming the folder and the master; otherwise executors would find their own, empty folder there.
    """
    master = session.sparkContext.master or ""
    if uri.startswith("file:") and not master.startswith("local"):
        raise InputError(
            f"'{uri}' is a folder of this machine, and the executors of '{master}' run on others: use object storage "
            "for landing and warehouse, as in s3://bucket/folder, or the master local[*]"
        )


@lru_cache
def code_digest(folder: Path = INSTALLED) -> str:
    """Return the sha256 of all Python files of this project as they lie below a folder.

    The weights need none: the code names them by sha256.
    """
    digest = hashlib.sha256()
    for path in sorted(file for package in PACKAGES for file in (folder / package).rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def refuse_other_code(digest_of_driver: str) -> None:
    """Refuse to work for a driver whose code is another than that of this process.

    Raises InputError naming the machine; otherwise a night would be made half by one version, half by another.
    """
    if code_digest() != digest_of_driver:
        raise InputError(
            f"machine '{platform.node()}' has other code of this project (sha256 {code_digest()[:8]}…) than Spark's "
            f"driver ({digest_of_driver[:8]}…): install the same version there, or send it by spark.archives"
        )
