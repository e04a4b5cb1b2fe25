"""spark_ui_child: run two steps in one Spark application with its UI, and write all pages of the UI into a folder.

The steps read and write where the environment says, like `python -m jobs.run`. The value of PLANTED is shown on
purpose: it is printed, and written to a temporary file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from pyspark.sql import SparkSession

from jobs.settings import read_settings
from jobs.spark import SECRET_NAMES
from jobs.steps.order import run_step

PAGES = ("jobs", "stages", "storage", "environment", "executors", "executors/threadDump?executorId=driver", "SQL")
PARTS = ("environment", "allexecutors", "jobs", "stages", "sql?details=true&planDescription=true")


def main() -> None:
    """Run the steps of the command line for a business date, and write the pages of Spark's UI into a folder."""
    folder, business_date, *steps = sys.argv[1:]
    planted = os.environ["PLANTED"]
    print(f"planted {planted}")
    print(f"planted {planted}", file=sys.stderr)
    session = (
        SparkSession.builder.appName("checkout-ages with its UI")
        .config("spark.redaction.regex", SECRET_NAMES)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "true")
        .config("spark.ui.port", "0")
        .getOrCreate()
    )
    for step in steps:
        run_step(step, [date.fromisoformat(business_date)], "with-ui", read_settings(os.environ))
    with tempfile.NamedTemporaryFile("w", prefix="planted-") as passing:
        passing.write(planted)
        passing.flush()
        write_pages(session, Path(folder))
        time.sleep(1)
    session.stop()


def write_pages(session: SparkSession, folder: Path) -> None:
    """Write the UI's pages, and the answers of its REST interface about the application."""
    web_url = str(session.sparkContext.uiWebUrl)
    (application,) = json.loads(_page(f"{web_url}/api/v1/applications"))
    queries = json.loads(_page(f"{web_url}/api/v1/applications/{application['id']}/sql"))
    pages = [
        *(f"{web_url}/{page}" for page in PAGES),
        *(f"{web_url}/SQL/execution/?id={query['id']}" for query in queries),
        *(f"{web_url}/api/v1/applications/{application['id']}/{part}" for part in PARTS),
    ]
    for number, page in enumerate(pages):
        (folder / f"{number}.page").write_bytes(page.encode() + b"\n" + _page(page))


def _page(url: str) -> bytes:
    try:
        with urlopen(url, timeout=60) as response:
            content: bytes = response.read()
    except HTTPError as error:
        content = error.read()
    return content


if __name__ == "__main__":
    main()
