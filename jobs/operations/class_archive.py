"""class_archive: writes an archive of loaded Java classes, with which Spark starts faster on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.local_spark import JAVA_FOLDER, SMALL_DAY_OPTIONS, archives, local_spark_environment, log_option
from jobs.warehouse.object_store import ObjectStore

RUN_PY = Path(__file__).resolve().parents[1] / "run.py"


def write_class_archive() -> None:
    """Run one Spark application on a day without photos, and store the Java classes that it loaded in the archive."""
    environment = os.environ | local_spark_environment(os.environ)
    java = Path(environment["JAVA_HOME"]) / "bin" / "java"
    base, classes = archives(java.parents[1])
    # The archive's name holds what it depends on, so an existing one fits.
    if classes.exists():
        return
    JAVA_FOLDER.mkdir(exist_ok=True)
    _run([str(java), "-Xshare:dump", f"-XX:SharedArchiveFile={base}", "-XX:+UseSerialGC"], environment)
    archiving = shlex.join([f"-XX:SharedArchiveFile={base}", f"-XX:ArchiveClassesAtExit={classes}", "-Xlog:disable"])
    environment["SPARK_SUBMIT_OPTS"] = f"{SMALL_DAY_OPTIONS} {log_option()} {archiving}"
    with tempfile.TemporaryDirectory() as folder:
        landing = ObjectStore(Path(folder, "landing").as_uri())
        business_date = date(2026, 1, 1)
        for marked in (photos_folder, transactions_folder):
            landing.write(f"{marked(business_date)}/{SUCCESS}", b"")
        environment["CHECKOUT_AGES_LANDING_URI"] = landing.uri
        environment["CHECKOUT_AGES_WAREHOUSE_URI"] = Path(folder, "warehouse").as_uri()
        arguments = ["--business-date", business_date.isoformat(), "--run-id", "class-archive"]
        submit = Path(sys.prefix, "bin", "spark-submit")
        _run([str(submit), "--master", "local[1]", str(RUN_PY), "transaction_lines", *arguments], environment)


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    write_class_archive()
