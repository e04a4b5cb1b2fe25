"""spark: starts a Spark session, checks that executors can work, and passes workers' errors on as one sentence.

Executors on other machines share no disk with this one, and must have the same code of this project.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import errors
from jobs.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SECRET_NAMES = "(?i)secret|password|token|access[._]?key|pseudonym_key"
"""Names of properties that Spark hides in its UI, event log and messages. Our secrets are not properties; this
is for a user who makes them so.
"""

ENOUGH_EXECUTORS = "0.8"
"""Share of a cluster's executors that a step waits for, at most half a minute, before it counts the cores. With less, a
step starts with too few partitions.
"""

MOST_BROADCAST = "10MB"
"""Broadcast a join side only when its measured size is below this. Spark cannot estimate how many rows our Python
readers return, so broadcasts are never planned ahead."""

MOST_PARTITIONS = 256
"""Partitions of a shuffle before Spark (AQE) joins small ones, up to 64 MB each. So a small day has one or two, and a
task never gets more than its memory holds of a day of a hundred million receipt lines: with four, it did. Up to 200,
each task that writes a shuffle opens a file for each partition."""

KEPT_AT_A_TIME = "1000"
"""Rows that are made columns at once, of a DataFrame that is kept in memory. With Spark's 10,000, the columns of
receipt lines as delivered took more memory than a gigabyte of heap has beside two tasks."""

PACKAGES = ("jobs", "models")
INSTALLED = Path(__file__).resolve().parents[1]

TOLD = re.compile(r"^(?:jobs\.errors\.)(\w+Error): (.+)$", re.MULTILINE)
"""The last line of a worker's traceback. Our sentences have no line break, whatever the key in them."""


def spark_session(name: str) -> SparkSession:
    """Start a Spark session, on the master that spark-submit or the environment names, or else on this machine."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.appName(f"checkout-ages {name}")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.redaction.regex", SECRET_NAMES)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.autoBroadcastJoinThreshold", "-1")
        .config("spark.sql.adaptive.autoBroadcastJoinThreshold", MOST_BROADCAST)
        # Without this, the rows of a DataFrame that is kept in memory stay in MOST_PARTITIONS, however few they are.
        .config("spark.sql.optimizer.canChangeCachedPlanOutputPartitioning", "true")
        .config("spark.sql.inMemoryColumnarStorage.batchSize", KEPT_AT_A_TIME)
        .config("spark.scheduler.minRegisteredResourcesRatio", ENOUGH_EXECUTORS)
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    # A value that was set is kept.
    if not session.sparkContext.getConf().contains("spark.sql.shuffle.partitions"):
        partitions = max(MOST_PARTITIONS, 2 * session.sparkContext.defaultParallelism)
        session.conf.set("spark.sql.shuffle.partitions", partitions)
    return session


def refuse_folder_of_this_machine(session: SparkSession, uri: str) -> None:
    """Refuse to use a folder of this machine if Spark's tasks run on other machines, which do not have it.

    Raises InputError that names the folder and the master. Otherwise executors would use empty folders of their own.
    """
    master = session.sparkContext.master or ""
    if uri.startswith("file:") and not master.startswith("local"):
        raise InputError(
            f"'{uri}' is a folder of this machine, but the executors of '{master}' run on other machines: use object "
            "storage for landing and warehouse, as in s3://bucket/folder, or the master local[*]"
        )


@lru_cache
def code_digest(folder: Path = INSTALLED) -> str:
    """Return a sha256 of all Python files of this project below a folder, to compare the code of two machines.

    The weights are not included, because the code names them by their sha256.
    """
    digest = hashlib.sha256()
    for path in sorted(file for package in PACKAGES for file in (folder / package).rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def refuse_other_code(digest_of_driver: str) -> None:
    """Refuse to work in a task if the driver's code differs from the code on this machine.

    Raises InputError that names the machine. Otherwise two versions of the code would build one night.
    """
    if code_digest() != digest_of_driver:
        raise InputError(
            f"machine '{platform.node()}' has other code of this project (sha256 {code_digest()[:8]}…) than Spark's "
            f"driver ({digest_of_driver[:8]}…): install the same version there, or send it by spark.archives"
        )


@contextmanager
def reraising_worker_errors() -> Iterator[None]:
    """Raise an InputError of a Spark worker as InputError here, during the block; other failures stay as they are."""
    try:
        yield
    except Exception as failure:
        told = TOLD.findall(str(failure)) if _is_of_spark(failure) else []
        if not told:
            raise
        # A message may quote several tracebacks; the last one is the cause.
        name, sentence = told[-1]
        raise getattr(errors, name)(sentence.strip()) from None


def _is_of_spark(failure: Exception) -> bool:
    spark = sys.modules.get("pyspark.errors")
    return spark is not None and isinstance(failure, spark.PySparkException)
