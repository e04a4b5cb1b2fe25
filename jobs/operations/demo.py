"""demo: runs one night on a sample day, through Airflow and Spark on this machine. `make demo` starts it.

It writes to .demo/ only: landing, warehouse, airflow (database and logs), truth.csv.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table as RichTable

from jobs.errors import InputError, end_process
from jobs.local_spark import local_spark_environment
from jobs.operations.demo_money import HEADINGS, money_in_words, money_of_groups
from jobs.operations.sample_day.sample_day import write_sample_day
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.report.page_address import page_key
from jobs.schemas.dictionary import PUBLISHED_WINDOW_TABLES, TABLES_OF_A_RUN
from jobs.schemas.runs import WINDOW_RUNS
from jobs.settings import Settings
from jobs.warehouse.catalogue import CATALOGUE
from jobs.warehouse.object_store import ObjectStore

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / ".demo"
LANDING, WAREHOUSE, AIRFLOW, TRUTH = DEMO / "landing", DEMO / "warehouse", DEMO / "airflow", DEMO / "truth.csv"
LOG = AIRFLOW / "night.log"
BUSINESS_DATE = date(2026, 11, 20)
SEED = 1
NIGHT, WINDOW = "checkout_ages_nightly", "cashier_alcohol_window"
LOG_LINES_SHOWN = 40
TASK_MOMENT = re.compile(r"\[DAG TEST\] (?P<moment>starting|end task) task_id=(?P<task_id>\w+)")

PURCHASES_QUERY = """\
SELECT age_group, sum(net_amount) AS by_point_estimate, round(sum(estimated_net_amount), 2) AS corrected, currency
FROM age_group_purchases GROUP BY ALL ORDER BY age_group"""

AFFINITY_QUERY = """\
SELECT age_group, product_category, round(affinity_index, 1) AS index,
    format('{:.1f} to {:.1f}', affinity_index_low, affinity_index_high) AS interval, transaction_count AS transactions
FROM age_group_affinity WHERE affinity_index_low > 1 ORDER BY affinity_index DESC LIMIT 5"""

AUDIT_QUERY = """\
SELECT audit_status, count(*) AS sales, round(sum(under_legal_age_probability), 1) AS under_age_expected,
    any_value(audit_reason) AS for_example
FROM alcohol_sale_audit GROUP BY ALL ORDER BY sales DESC"""

CLOSENESS_QUERY = """\
SELECT count(*) AS photos, round(corr(estimated_age_years, true_age_years), 2) AS correlation,
    round(avg(abs(estimated_age_years - true_age_years)), 1) AS mean_absolute_error_years
FROM photo_age_estimates JOIN read_csv('.demo/truth.csv') truth USING (photo_key)
WHERE kind = 'photo' AND estimate_status = 'estimated' AND true_age_years IS NOT NULL"""

TABLE_SECONDS_QUERY = """\
SELECT unnest(map_entries(table_seconds), recursive := true)
FROM (FROM pipeline_runs ORDER BY published_at DESC LIMIT 1)"""

console = Console()


@dataclass
class Times:
    """Seconds that each part of the demo took."""

    sample_day: float = 0.0
    airflow: float = 0.0
    tasks: dict[str, float] = field(default_factory=dict)


class NightFailedError(Exception):
    """A task of the demo's night failed; the message is the end of its log."""


def main() -> int:
    """Run the demo: write a sample day, run its night, show the tables. Returns the exit code."""
    os.chdir(REPOSITORY)
    started = time.monotonic()
    try:
        times = run_demo()
    except InputError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 2
    except NightFailedError as error:
        console.print(str(error), markup=False, highlight=False)
        console.print(f"the night failed; its whole log is in {LOG}", style="red", markup=False)
        return 1
    show_tables()
    show_times(times, time.monotonic() - started)
    show_report()
    return 0


def run_demo() -> Times:
    """Write the sample day while Airflow's database is prepared; then run the day's night and window.

    Returns the seconds that each part took.
    """
    times = Times()
    environment = airflow_environment(os.environ, AIRFLOW, LANDING.as_uri(), WAREHOUSE.as_uri())
    AIRFLOW.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with LOG.open("w") as log:
        # Runs while the sample day is written: neither needs the other.
        migration = subprocess.Popen(["airflow", "db", "migrate"], env=environment, stdout=log, stderr=log)
        with console.status(f"writing a sample day of receipts and photos for {BUSINESS_DATE}"):
            write_landing()
        times.sample_day = time.monotonic() - started
        console.print(f"{'sample day':28}{times.sample_day:6.1f} s")
        with console.status("preparing Airflow's database"):
            if migration.wait():
                raise NightFailedError(_end_of_log())
    with console.status("starting Airflow") as status:
        for dag_id in (NIGHT, WINDOW):
            for task_id, seconds in run_dag(environment, dag_id, BUSINESS_DATE):
                if seconds is None:
                    status.update(task_id)
                else:
                    times.tasks[task_id] = times.tasks.get(task_id, 0) + seconds
                    console.print(f"{task_id:28}{seconds:6.1f} s")
    times.airflow = time.monotonic() - started - times.sample_day - sum(times.tasks.values())
    return times


def airflow_environment(
    environment: Mapping[str, str], home: Path, landing_uri: str, warehouse_uri: str
) -> dict[str, str]:
    """Return the environment variables of a separate Airflow for the demo, without the shell's Airflow settings."""
    own = ("AIRFLOW_", "CHECKOUT_AGES_", "SPARK_", "PYSPARK_")
    inherited = {name: value for name, value in environment.items() if not name.startswith(own)}
    return {
        **inherited,
        **local_spark_environment(inherited),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{inherited.get('PATH', '')}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type": "spark", "host": "local[*]"}',
        "CHECKOUT_AGES_NIGHT_DEADLINE_SECONDS": "0",  # `airflow dags test` of 3.3 fails on a DAG that has a deadline
        "CHECKOUT_AGES_LANDING_URI": landing_uri,
        "CHECKOUT_AGES_WAREHOUSE_URI": warehouse_uri,
    }


def write_landing() -> None:
    """Write the demo's sample day to its landing, and the true ages to truth.csv."""
    time_zone = Settings.model_fields["store_time_zone"].default
    truth = write_sample_day(
        ObjectStore(LANDING.as_uri()), BUSINESS_DATE, synthetic_face_photos(), "completejourney", SEED, time_zone
    )
    truth.to_csv(TRUTH, index=False)


def run_dag(environment: Mapping[str, str], dag_id: str, business_date: date) -> Iterator[tuple[str, float | None]]:
    """Run a DAG for a day. Yields the name of each task when it starts, and name and seconds when it ends.

    Raises NightFailedError when a task has failed, without waiting for its retries.
    """
    command = ["airflow", "dags", "test", dag_id, "--conf", json.dumps({"business_date": business_date.isoformat()})]
    failed = False
    with (
        # Line by line, so that the log is complete when the process is killed.
        LOG.open("a", buffering=1) as log,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as night,
    ):
        for line in night.stdout or ():
            log.write(line)
            # `dags test` would now wait for the retry; a demo reports the failure instead.
            failed = failed or "Task failed with exception" in line
            if moment := TASK_MOMENT.search(line):
                if moment["moment"] == "starting":
                    started = time.monotonic()
                    yield moment["task_id"], None
                else:
                    yield moment["task_id"], time.monotonic() - started
                    if failed:
                        night.kill()
    if failed or night.returncode:
        raise NightFailedError(_end_of_log())


def show_tables() -> None:
    """Print the published tables of the demo, where they are, and how to query them."""
    listing = RichTable("table", "rows", "one row per", title="What the night published")
    for table in (*TABLES_OF_A_RUN, *PUBLISHED_WINDOW_TABLES, WINDOW_RUNS):
        _, ((row_count,),) = ask(f"SELECT count(*) FROM {table.name} WHERE business_date = '{BUSINESS_DATE}'")
        listing.add_row(table.name, str(row_count), table.grain.removeprefix("one row per "))
    console.print(listing)
    show_money()
    show_query("What to offer whom: categories that an age group buys more often than all buyers do", AFFINITY_QUERY)
    show_query("Alcohol sales, by audit status", AUDIT_QUERY)
    show_query("How close the estimates are to the truth", CLOSENESS_QUERY)
    console.print(f"The Parquet files are in {WAREHOUSE}/TABLE/business_date={BUSINESS_DATE}/", highlight=False)
    console.print("This command asks what each age group bought; jobs/tables/README.md has more:", highlight=False)
    query = f'.venv/bin/checkout-ages query --warehouse-uri .demo/warehouse "\n{PURCHASES_QUERY}"'
    console.print(query, markup=False, highlight=False)


def show_money() -> None:
    """Print what each age group bought: the truth, both estimates, and which of them is nearer."""
    with duckdb.connect(WAREHOUSE / CATALOGUE, read_only=True) as connection:
        money = money_of_groups(connection, TRUTH)
    listing = RichTable(*HEADINGS, title="What each age group bought, next to the truth (USD)")
    for row in money:
        listing.add_row(*row.in_words())
    console.print(listing)
    console.print(money_in_words(money), highlight=False)


def show_report() -> None:
    """Print where the demo's report page is."""
    page = WAREHOUSE / page_key(BUSINESS_DATE)
    console.print(f"The report of the night, to be opened in a browser: {page}", highlight=False, soft_wrap=True)


def show_query(title: str, query: str) -> None:
    """Run a query on the demo's tables, and print its result under a title."""
    columns, rows = ask(query)
    listing = RichTable(*columns, title=title)
    for row in rows:
        listing.add_row(*("" if value is None else str(value) for value in row))
    console.print(listing)


def ask(query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a query on the demo's catalogue as an analyst would; return the names of columns, and the rows."""
    with duckdb.connect(WAREHOUSE / CATALOGUE, read_only=True) as connection:
        found = connection.sql(query)
        return found.columns, found.fetchall()


def show_times(times: Times, total_seconds: float) -> None:
    """Print how the demo spent its time: building tables (from pipeline_runs), starting Airflow, and starting Spark."""
    table_seconds = dict(ask(TABLE_SECONDS_QUERY)[1])
    starting = sum(times.tasks.values()) - sum(table_seconds.values())
    parts = {
        "writing the sample day": times.sample_day,
        "building tables, with the start of Python workers and the model": sum(table_seconds.values()),
        "starting Airflow": times.airflow,
        "starting Spark and Python for each task": starting,
    }
    listing = RichTable("where the time went", "seconds", "share")
    for part, seconds in {**parts, "total": total_seconds}.items():
        listing.add_row(part, f"{seconds:.0f}", f"{seconds / total_seconds:.0%}")
    console.print(listing)


def _end_of_log() -> str:
    return "\n".join(LOG.read_text().splitlines()[-LOG_LINES_SHOWN:])


if __name__ == "__main__":
    end_process(main())
