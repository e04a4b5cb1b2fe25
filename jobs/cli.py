"""cli: the command `checkout-ages`. Its subcommands are here, in operations/, in privacy/ and in models/cli.py."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.errors import InputError, end_process
from jobs.operations.commands import app as operations_commands
from jobs.privacy.commands import app as privacy_commands
from jobs.schemas import dictionary
from jobs.settings import read_settings
from jobs.terminal import (
    BusinessDate,
    LandingUri,
    WarehouseUri,
    console,
    errors_as_exit_codes,
    pasteable,
    print_step,
    running_spark,
    say,
    show_log,
    step_printer,
)
from jobs.warehouse.object_store import ObjectStore
from models.cli import app as model_commands

app = typer.Typer(
    help="Nightly age-group purchase and alcohol-sale audit tables from checkout photos and receipts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for commands in (privacy_commands, operations_commands, model_commands):
    app.add_typer(commands)


@app.command()
def night(business_date: BusinessDate, landing_uri: LandingUri = None, warehouse_uri: WarehouseUri = None) -> None:
    """Build, check and publish the tables of one day, without Airflow, in one Spark application.

    Example: checkout-ages night --business-date 2026-11-20 --landing-uri .demo/landing --warehouse-uri .demo/warehouse
    """
    from jobs.landing.deliveries import missing_markers
    from jobs.steps.order import run_night
    from jobs.warehouse.warehouse import Warehouse

    day = business_date.date()
    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        if missing := missing_markers(ObjectStore(settings.landing_uri), day):
            raise InputError(
                f"business date {day} is not delivered yet: missing {' and '.join(map(pasteable, missing))}"
            )
        run_id = f"night-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with running_spark(f"night {day}") as (session, status):
            warehouse = Warehouse(ObjectStore(settings.warehouse_uri, settings.largest_copy_bytes), run_id, session)
            status.update("wait_for_business_date")
            run_night(warehouse, day, settings, step_printer(status))
    say(f"published {day} as run {run_id} to {pasteable(settings.warehouse_uri)}")


@app.command(name="cashier-window")
def cashier_window(
    business_date: BusinessDate, landing_uri: LandingUri = None, warehouse_uri: WarehouseUri = None
) -> None:
    """Build, check and publish the 28-day windows that contain a published day, without Airflow and without Spark.

    Example: checkout-ages cashier-window --business-date 2026-11-20 --landing-uri .demo/landing --warehouse-uri
    .demo/warehouse
    """
    from jobs.steps.order import run_windows
    from jobs.warehouse.warehouse import Warehouse

    run_id = f"window-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        warehouse = Warehouse(ObjectStore(settings.warehouse_uri, settings.largest_copy_bytes), run_id)
        show_log()
        last_dates = run_windows(warehouse, [business_date.date()], settings, print_step)
    say(f"published {len(last_dates)} windows as run {run_id} to {pasteable(settings.warehouse_uri)}")


@app.command()
def report(business_date: BusinessDate, warehouse_uri: WarehouseUri = None) -> None:
    """Write the report page of a published day, and the index of all days, without Spark.

    Example: checkout-ages report --business-date 2026-11-20 --warehouse-uri .demo/warehouse
    """
    from jobs.steps import nightly_report
    from jobs.warehouse.warehouse import Warehouse

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=warehouse_uri)
        store = ObjectStore(settings.warehouse_uri)
        store.check_reachable()
        nightly_report.run(Warehouse(store, "report"), business_date.date(), settings)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="one SELECT in DuckDB's SQL; - reads it from stdin")],
    file_format: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="format of the rows")
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(help="file to write the rows to; as csv, unless --format names another format")
    ] = None,
    bom: Annotated[
        bool, typer.Option("--bom", help="write csv with a byte order mark, which spreadsheets need to read Cyrillic")
    ] = False,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Run one SELECT on the published tables; `checkout-ages tables` lists their names. It changes nothing.

    Example: checkout-ages query "SELECT * FROM photo_coverage LIMIT 5" --warehouse-uri .demo/warehouse
    """
    from jobs.warehouse.query import print_answer, query, save_answer

    with errors_as_exit_codes():
        if bom and file_format in ("json", "parquet"):
            raise InputError(f"--bom works with csv only, not with {file_format}: leave it out, or use --format csv")
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=warehouse_uri)
        answer = query(ObjectStore(settings.warehouse_uri), sys.stdin.read() if sql == "-" else sql)
        if out or bom or file_format != "table":
            save_answer(answer, file_format, out, with_bom=bom)
        else:
            print_answer(answer, console)


@app.command()
def catalogue(warehouse_uri: WarehouseUri = None) -> None:
    """Rewrite the warehouse's catalog.duckdb, which holds a DuckDB view of each table. Each night does it too.

    Example: checkout-ages catalogue --warehouse-uri .demo/warehouse
    """
    from jobs.warehouse.catalogue import CATALOGUE, write_catalogue

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=warehouse_uri)
        store = ObjectStore(settings.warehouse_uri)
        store.check_reachable()
        replaced = write_catalogue(store)
    say(f"{pasteable(store.location(CATALOGUE))} {'is written' if replaced else 'is up to date'}")


@app.command(name="tables")
def data_dictionary(
    file_format: Annotated[Literal["markdown", "json"], typer.Option("--format", help="json is for programs")] = (
        "markdown"
    ),
) -> None:
    """Print the data dictionary: what a row of each table is, its key, and the meaning of its columns.

    Example: checkout-ages tables --format json
    """
    print(dictionary.as_json() if file_format == "json" else dictionary.as_markdown())


def main() -> None:
    """Run the command that was typed, and end the process with its exit code."""
    try:
        app()
    except SystemExit as ended:
        end_process(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


if __name__ == "__main__":
    main()
