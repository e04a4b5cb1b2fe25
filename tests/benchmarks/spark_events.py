"""spark_events: read what Spark's event log says of an application."""

from __future__ import annotations

import json
from pathlib import Path

TASK_END = '{"Event":"SparkListenerTaskEnd"'


def logging_options(folder: Path) -> dict[str, str]:
    """Return the Spark properties with which an application writes its event log, as JSON lines, to a folder."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }


def spilled_bytes(folder: Path) -> int:
    """Return the bytes that the tasks of the applications with logs in a folder moved from memory to the disk."""
    return sum(_spilled_of(line) for log in folder.iterdir() for line in log.open() if line.startswith(TASK_END))


def _spilled_of(line: str) -> int:
    # A task that was killed has no metrics.
    return int((json.loads(line).get("Task Metrics") or {}).get("Disk Bytes Spilled", 0))
