"""month: runs 28 days of a small chain whose truth is planted, and says what the tables show of it. `make month`.

It writes to .demo/month/ only: landing, warehouse, truth.csv, month.log. The month before is deleted. The days are
built by a backfill. Between the days and the windows, reviewers deliver what they found in the cases of two weeks.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable

from jobs.errors import FailedCheckError, FailedDaysError, InputError, end_process
from jobs.landing.landed_files import OUTCOME_FIELDS
from jobs.operations.backfill import Backfill, build_days
from jobs.operations.demo import DEMO
from jobs.operations.month_results import finds, share_rows, shares_in_words
from jobs.operations.sample_day.sample_chain import MONTH_FILE, read_chain
from jobs.operations.sample_day.sample_day import truth_of_days, write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.report.page_address import page_key
from jobs.settings import PREFIX, Settings, read_settings
from jobs.steps import conclude_backfill, finish_backfill
from jobs.steps.backfill_options import BackfillOptions, days_between
from jobs.steps.backfilled_days import backfilled_days
from jobs.warehouse.catalogue import CATALOGUE
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

MONTH = DEMO / "month"
LANDING, WAREHOUSE, TRUTH, LOG = MONTH / "landing", MONTH / "warehouse", MONTH / "truth.csv", MONTH / "month.log"
FIRST, LAST = date(2026, 10, 24), date(2026, 11, 20)
DAYS = days_between(FIRST, LAST)
REVIEWED_DAYS = DAYS[:14]
REVIEWED_AFTER = timedelta(days=3)
CANNOT_TELL_OF = 20
"""In one case of so many, the reviewer cannot tell."""
SEED = 1
RUN_ID = "month"
APPLICATIONS = 2
"""Spark applications that build the days side by side: one alone leaves a core idle half of the time."""
OWN_SETTINGS = {
    f"{PREFIX}MINIMUM_AFFINITY_TRANSACTION_COUNT": "25",
    f"{PREFIX}BACKFILL_APPLICATIONS": str(APPLICATIONS),
}
"""The chain is small: with the usual limit of 30, the young would hardly ever have an index."""

CASES_QUERY = """
SELECT strftime(cases.business_date, '%Y-%m-%d') AS business_date, case_id, cases.closed_at,
    true_age_years::INT AS age_years
FROM alcohol_review_cases AS cases
JOIN alcohol_sale_audit AS sales USING (business_date, case_id)
JOIN read_csv($truth, all_varchar = true) AS truth
    ON kind = 'transaction' AND truth.store_id = sales.store_id AND truth.till_id = sales.till_id
    AND truth.transaction_id = sales.transaction_id
WHERE cases.business_date BETWEEN $first AND $last
ORDER BY business_date, case_id
"""

console = Console()


def main() -> int:
    """Write the month, build it, show what was planted and what the tables say. Returns the exit code."""
    os.chdir(DEMO.parent)
    started = time.monotonic()
    shutil.rmtree(MONTH, ignore_errors=True)
    MONTH.mkdir(parents=True)
    # The applications of the backfill inherit the environment, and the month is the same in every shell.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ |= OWN_SETTINGS
    settings = read_settings(os.environ, landing_uri=LANDING.as_uri(), warehouse_uri=WAREHOUSE.as_uri())
    try:
        with console.status("writing 28 days of receipts and photos") as status:
            for number, _ in enumerate(written_days(DAYS), 1):
                status.update(f"writing receipts and photos: {number} of {len(DAYS)} days")
        _tell("28 days of receipts and photos written", started)
        build(settings, started)
    except InputError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 2
    except (FailedDaysError, FailedCheckError) as error:
        console.print(f"{error}; the whole log is in {LOG}", style="red", markup=False)
        return 1
    show()
    _tell("the month took", started)
    page = WAREHOUSE / page_key(LAST)
    console.print(f"The report of the last day, to be opened in a browser: {page}", highlight=False, soft_wrap=True)
    return 0


def written_days(days: Sequence[date]) -> Iterator[date]:
    """Write the days to the landing, two at a time, and the truth about them to truth.csv; yield each that is done."""
    # Spawned, not forked: libraries of this process have threads, and a fork would keep their locks and not them.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        truths = []
        for day, truth in zip(days, pool.map(_write_day, days), strict=True):
            truths.append(truth)
            yield day
    truth_of_days(truths).to_csv(TRUTH, index=False)


def build(settings: Settings, started: float) -> None:
    """Build and publish all days by a backfill, let the reviewers deliver, then build windows and reports.

    Raises FailedDaysError when a day is not published.
    """
    landing, store = ObjectStore(settings.landing_uri), ObjectStore(settings.warehouse_uri)
    warehouse = Warehouse(store, RUN_ID)
    asked = Backfill(DAYS, RUN_ID, BackfillOptions(days_per_application=len(DAYS) // APPLICATIONS))
    with LOG.open("w", buffering=1) as log, console.status("starting Spark") as status:
        build_days(
            warehouse,
            asked,
            settings,
            lambda line: print(line, file=log),
            lambda progress: status.update(f"estimating ages, building and checking tables: {progress}"),
        )
        days = backfilled_days(warehouse, landing, DAYS, asked.options)
        conclude_backfill.raise_if_incomplete(days, RUN_ID)
        _tell("28 days built, checked and published", started)
        status.update("building the windows of 28 days, and the report pages")
        deliver_outcomes(landing, WAREHOUSE / CATALOGUE, TRUTH, REVIEWED_DAYS)
        finish_backfill.finish(warehouse, DAYS, settings)
        warehouse.staging.drop_settings()
        _tell("windows and report pages built", started)


def deliver_outcomes(landing: ObjectStore, catalogue: Path, truth: Path, days: Sequence[date]) -> None:
    """Deliver what reviewers found in the review cases of some days: whether the buyer is under age, as is true."""
    with duckdb.connect(catalogue, read_only=True) as connection:
        listed = {"truth": str(truth), "first": days[0], "last": days[-1]}
        cases = connection.execute(CASES_QUERY, listed).df()
    legal_age = Settings.model_fields["legal_purchase_age_years"].default
    for business_date, of_day in cases.groupby("business_date"):
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(OUTCOME_FIELDS)
        for number, (_, case_id, closed_at, age_years) in enumerate(of_day.itertuples(index=False)):
            found = "under_age" if age_years < legal_age else "of_age"
            outcome = "cannot_tell" if number % CANNOT_TELL_OF == CANNOT_TELL_OF - 1 else found
            rows.writerow([case_id, (closed_at + REVIEWED_AFTER).isoformat(), outcome])
        landing.write(f"reviewed_cases/business_date={business_date}/outcomes.csv", text.getvalue().encode())


def show() -> None:
    """Print what was planted and what the tables say of it, and how near the shares of age groups are to the truth."""
    with duckdb.connect(WAREHOUSE / CATALOGUE, read_only=True) as connection:
        planted = RichTable("planted", "what the tables say", title="The month", show_lines=True)
        for plant, found in finds(connection, TRUTH, read_chain(MONTH_FILE), LAST):
            planted.add_row(plant, found)
        console.print(planted)
        rows = share_rows(connection, TRUTH)
    shares = RichTable(
        "age group",
        *("true share", "point estimates", "corrected", "nearer", "days whose interval holds the truth"),
        title="Shares of buyers by age, over the month",
    )
    for row in rows:
        shares.add_row(*row.in_words())
    console.print(shares)
    console.print(shares_in_words(rows), highlight=False)
    console.print(f"The truth is in {TRUTH}, the tables are in {WAREHOUSE}", highlight=False, soft_wrap=True)


def _write_day(day: date) -> pd.DataFrame:
    time_zone = Settings.model_fields["store_time_zone"].default
    landing = ObjectStore(LANDING.as_uri())
    chain = read_chain(MONTH_FILE)
    return write_sample_day(landing, day, synthetic_face_photos(), "completejourney", SEED, time_zone, chain)


def _tell(what: str, started: float) -> None:
    console.print(f"{what:40}{time.monotonic() - started:6.0f} s", highlight=False)


if __name__ == "__main__":
    end_process(main())
