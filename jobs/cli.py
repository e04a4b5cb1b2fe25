"""cli: `checkout-ages`, the commands a person types."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.status import Status
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from jobs import tables
from jobs.addresses import pasteable
from jobs.cashier_pseudonyms import KEY_MEANING, KEY_VARIABLE, cashier_pseudonyms
from jobs.errors import FailedCheckError, InputError, PublishingLockError, end_process
from jobs.object_store import ObjectStore
from jobs.settings import PREFIX, Settings, read_settings
from jobs.steps.order import STEPS
from models.cli import app as model_commands

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from jobs.night_plan import Rates

app = typer.Typer(
    help="Nightly age-group purchase and alcohol-sale audit tables from checkout photos and receipts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(model_commands)
console = Console()
errors = Console(stderr=True)

COMPARED_FIGURES = ("live", "rescored", "live %", "rescored %", "points", "years")

BusinessDate = Annotated[
    datetime, typer.Option("--business-date", formats=["%Y-%m-%d"], help="the stores' day, as 2026-11-20")
]
LandingUri = Annotated[str | None, typer.Option(help="where photos and receipts land; else CHECKOUT_AGES_LANDING_URI")]
WarehouseUri = Annotated[str | None, typer.Option(help="where tables are published; else CHECKOUT_AGES_WAREHOUSE_URI")]


@app.command()
def night(business_date: BusinessDate, landing_uri: LandingUri = None, warehouse_uri: WarehouseUri = None) -> None:
    """Build, check and publish the tables of one day, without Airflow, in one Spark application.

    Example: checkout-ages night --business-date 2026-11-20 --landing-uri .demo/landing --warehouse-uri .demo/warehouse
    """
    from jobs.landing import missing_markers
    from jobs.steps.order import run_night
    from jobs.warehouse import Warehouse

    day = business_date.date()
    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        if missing := missing_markers(ObjectStore(settings.landing_uri), day):
            raise InputError(f"business date {day} has not landed: missing {' and '.join(map(pasteable, missing))}")
        run_id = f"night-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with _spark(f"night {day}") as (session, status):
            warehouse = Warehouse(ObjectStore(settings.warehouse_uri), run_id, session)
            status.update("wait_for_business_date")
            run_night(warehouse, day, settings, _step_printer(status))
    _say(f"published {day} as run {run_id} to {pasteable(settings.warehouse_uri)}")


@app.command(name="check-delivery")
def check_delivery(
    business_date: BusinessDate,
    files: Annotated[list[Path] | None, typer.Argument(help="receipt files; else what lies in the landing")] = None,
    landing_uri: LandingUri = None,
) -> None:
    """Say in seconds what a night would make of a day's receipts and photos; exit code 2: it would publish nothing.

    Example: checkout-ages check-delivery --business-date 2026-11-20 --landing-uri .demo/landing
    """
    from jobs.check_delivery import check_files, check_landed_day
    from jobs.delivery_in_words import delivery_in_words

    has_landing = bool(landing_uri or os.environ.get(f"{PREFIX}LANDING_URI"))
    with _explained():
        without_landing = bool(files) and not has_landing
        uri = os.curdir if without_landing else landing_uri
        settings = read_settings(os.environ, landing_uri=uri, warehouse_uri=os.curdir)
        landing, day = ObjectStore(settings.landing_uri), business_date.date()
        landing.check_reachable()
        if files:
            checked = check_files(files, day, settings, None if without_landing else landing)
        else:
            checked = check_landed_day(landing, day, settings)
    for line in delivery_in_words(checked, day):
        console.print(line.text, style=line.style, soft_wrap=True, markup=False, highlight=False)
    if checked.publishes_nothing:
        raise typer.Exit(2)


@app.command(name="cashier-window")
def cashier_window(
    business_date: BusinessDate, landing_uri: LandingUri = None, warehouse_uri: WarehouseUri = None
) -> None:
    """Build, check and publish the windows that a published day changes, without Airflow and without Spark.

    Example: checkout-ages cashier-window --business-date 2026-11-20 --landing-uri .demo/landing --warehouse-uri
    .demo/warehouse
    """
    from jobs.steps.order import run_windows
    from jobs.warehouse import Warehouse

    run_id = f"window-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        warehouse = Warehouse(ObjectStore(settings.warehouse_uri), run_id)
        _show_log()
        last_dates = run_windows(warehouse, [business_date.date()], settings, _print_step)
    _say(f"published {len(last_dates)} windows as run {run_id} to {pasteable(settings.warehouse_uri)}")


@app.command()
def report(business_date: BusinessDate, warehouse_uri: WarehouseUri = None) -> None:
    """Write the page of a published day and the index of all days, from the published tables, without Spark.

    Example: checkout-ages report --business-date 2026-11-20 --warehouse-uri .demo/warehouse
    """
    from jobs import nightly_report
    from jobs.warehouse import Warehouse

    with _explained():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=warehouse_uri)
        store = ObjectStore(settings.warehouse_uri)
        store.check_reachable()
        nightly_report.run(Warehouse(store, "report"), business_date.date(), settings)


@app.command()
def rescore(
    first_date: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first day, as 2026-11-18")],
    last_date: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, as 2026-11-20")],
    model_version: Annotated[str, typer.Option(help="the version to try")],
    inference_engine: Annotated[str | None, typer.Option(help="openvino or tensorflow; else the setting")] = None,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Build published days again with another model version, beside the live tables, and show what would change.

    Example: checkout-ages rescore --from 2026-11-18 --to 2026-11-20 --model-version age_resnet50-1
    """
    from jobs import catalogue
    from jobs.age_inference import check_model
    from jobs.rescore import published_days, rescore_day
    from jobs.warehouse import Warehouse

    run_id = f"rescore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with _explained():
        settings = read_settings(
            os.environ,
            landing_uri=landing_uri,
            warehouse_uri=warehouse_uri,
            model_version=model_version,
            inference_engine=inference_engine,
        )
        check_model(settings)
        ObjectStore(settings.landing_uri).check_reachable()
        store = ObjectStore(settings.warehouse_uri)
        days, unpublished = published_days(Warehouse(store, run_id), first_date.date(), last_date.date())
        for day in unpublished:
            _say(f"{day} is not published in {pasteable(settings.warehouse_uri)} and skipped")
        comparisons = []
        with _spark(f"rescore with {model_version}") as (session, status):
            live = Warehouse(store, run_id, session)
            for day in days:
                console.print(f"{day} with {model_version}")
                comparisons.append(rescore_day(live, day, settings, _step_printer(status)))
        catalogue.refresh(store)
    _print_comparison(comparisons)
    where = live.rescored(model_version).location(tables.MODEL_COMPARISON)
    _say(f"published as run {run_id}; the comparison by day: {pasteable(where)}")


@app.command()
def retain(
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the date to count back from; else today")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, and delete nothing")] = False,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Delete landed photos that are past their days (CHECKOUT_AGES_PHOTO_RETENTION_DAYS), with a record.

    Example: checkout-ages retain --dry-run
    """
    from jobs.retain import delete_photos, expired_days, photos_of
    from jobs.warehouse import Warehouse

    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        _show_log()
        landing, store = ObjectStore(settings.landing_uri), ObjectStore(settings.warehouse_uri)
        store.check_reachable()
        day_zero = as_of.date() if as_of else datetime.now(settings.time_zone).date()
        for day in expired_days(landing, day_zero, settings):
            if dry_run:
                console.print(f"{day}: {len(photos_of(landing, day))} photos would go")
            else:
                gone = delete_photos(Warehouse(store, f"retain-{day_zero}"), landing, day, settings)
                console.print(f"{day}: {gone.photo_count} photos deleted, {gone.size_bytes} bytes")


@app.command(context_settings={"auto_envvar_prefix": "ERASE"})
def erase(
    transaction_id: Annotated[str | None, typer.Option(help="receipt of the person")] = None,
    photo_key: Annotated[str | None, typer.Option(help="photo of the person, as in checkout_photos")] = None,
    business_date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="day of the receipt; else all published days are tried"),
    ] = None,
    store_id: Annotated[str | None, typer.Option(help="store of the receipt, where its id is there twice")] = None,
    till_id: Annotated[str | None, typer.Option(help="till of the receipt, likewise")] = None,
    with_transaction: Annotated[
        bool, typer.Option("--with-transaction", help="of a photo: the transaction that it belongs to as well")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="kept in tombstone and proof; name nobody in it")] = None,
    proof: Annotated[Path | None, typer.Option(help="write the proof here too")] = None,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Remove a person from all tables and the landed photos, for good, and prove it.

    An option may be given as a variable as well, such as ERASE_TRANSACTION_ID, so that it is in no list of processes.

    Example: checkout-ages erase --business-date 2026-11-20 --store-id 0042 --till-id 03 --transaction-id 4711
    """
    from jobs import erase as erasure
    from jobs.person_to_erase import Request, find_person
    from jobs.warehouse import Warehouse

    request = Request(
        transaction_id=transaction_id,
        photo_key=photo_key,
        business_date=business_date.date() if business_date else None,
        store_id=store_id,
        till_id=till_id,
        with_transaction=with_transaction,
    )
    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        landing, store = ObjectStore(settings.landing_uri), ObjectStore(settings.warehouse_uri)
        landing.check_reachable()
        store.check_reachable()
        person = find_person(Warehouse(store, "erase"), landing, request)
        with _spark(f"erase from {person.business_date}") as (session, status):
            status.update("erasing")
            proved = erasure.erase(Warehouse(store, "erase", session), landing, person, reason, settings, _print_step)
    if proof:
        proof.parent.mkdir(parents=True, exist_ok=True)
        proof.write_text(json.dumps(proved, indent=2))
    _say(
        f"erased from {person.business_date}: {proved['deleted_photo_count']} landed photos deleted; of "
        f"{sum(proved['rows_found_before'].values())} rows found before in "
        f"{len(proved['rows_found_before'])} files none is left in {proved['searched_file_count']}; "
        f"proof: {pasteable(erasure.proof_location(store, proved))}"
    )
    if request.photo_key and not person.erased.transactions:
        _say("the transaction of the photo, if any, keeps its lines; --with-transaction erases it too")


@app.command()
def estimate(
    photos: Annotated[list[Path], typer.Argument(help="JPEG or PNG files, from a camera or cut to a face")],
) -> None:
    """Estimate the age in each photo: one JSON line per photo, also for one that cannot be used.

    Example: checkout-ages estimate face.jpg other.png
    """
    from jobs.age_inference import estimate_photo_files

    with _explained():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=os.curdir)
        for line in estimate_photo_files(photos, settings):
            print(json.dumps(line), flush=True)


@app.command()
def doctor(
    file_format: Annotated[Literal["table", "json"], typer.Option("--format", help="for people or programs")] = "table",
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Say whether this machine can run the night, and how to mend what stands against it; exit code 1 when not.

    Example: checkout-ages doctor --landing-uri .demo/landing --warehouse-uri .demo/warehouse
    """
    from jobs.doctor import findings

    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
    with errors.status("looking"):
        found = list(findings(settings))
    if file_format == "json":
        print(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        listing = RichTable("check", Column("status", no_wrap=True), Column("what was found", overflow="fold"))
        for finding in found:
            words = f"{finding.found}; to mend it, {finding.mend}" if finding.mend else finding.found
            style = "red" if finding.status == "fails" else None
            listing.add_row(*map(Text, (finding.check, finding.status, words)), style=style)
        console.print(listing)
    if any(finding.status == "fails" for finding in found):
        raise typer.Exit(1)


@app.command(name="sample-day")
def sample_day(
    business_date: BusinessDate,
    landing_uri: LandingUri = None,
    faces: Annotated[Path | None, typer.Option(help="folder of labelled faces; else faces of no real person")] = None,
    receipts: Annotated[Literal["completejourney", "synthetic"], typer.Option(help="where receipts come from")] = (
        "completejourney"
    ),
    seed: Annotated[int, typer.Option(help="the same seed gives the same day")] = 1,
    truth: Annotated[Path | None, typer.Option(help="CSV for the true ages and planted faults")] = None,
) -> None:
    """Write one day of photos and receipts with known truth, for trying things out.

    Example: checkout-ages sample-day --business-date 2026-11-20 --landing-uri .demo/landing --truth .demo/truth.csv
    """
    from jobs.sample_day import write_sample_day
    from jobs.sample_faces import labelled_face_photos, synthetic_face_photos

    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=os.curdir)
        with console.status(f"writing {business_date.date()} to {settings.landing_uri}"):
            people = write_sample_day(
                ObjectStore(settings.landing_uri),
                business_date.date(),
                labelled_face_photos(faces) if faces else synthetic_face_photos(),
                receipts,
                seed,
                settings.store_time_zone,
            )
        if truth:
            truth.parent.mkdir(parents=True, exist_ok=True)
            people.to_csv(truth, index=False)
    _say(f"wrote {business_date.date()} to {pasteable(settings.landing_uri)}")


@app.command()
def plan(
    photos_per_day: Annotated[int, typer.Option(help="photos that land on a busy day")],
    stores: Annotated[int, typer.Option(help="stores that deliver")],
    hours: Annotated[float, typer.Option(help="within which a night is to end")],
    lines_per_photo: Annotated[float, typer.Option(help="receipt lines for each photo")] = 10.0,
    photo_kilobytes: Annotated[float, typer.Option(help="size of a photo")] = 200.0,
    rates: Annotated[Path | None, typer.Option(help="file of measured rates; else those of README")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="measure this machine first, some minutes")] = False,
) -> None:
    """Say how many cores, how much memory and storage a night takes, and what gives way first.

    Example: checkout-ages plan --photos-per-day 200000 --stores 300 --hours 3
    """
    from jobs.night_plan import DEFAULT_RATES, Day, in_words, night_plan, read_rates

    with _explained():
        day = Day(photos_per_day, stores, hours, lines_per_photo, photo_kilobytes)
        known = _measured(rates) if measure else read_rates(rates) if rates else DEFAULT_RATES
        rows = in_words(night_plan(day, known), day, known)
    listing = RichTable(Column("", no_wrap=True), Column("", overflow="fold"), show_header=False)
    for row in rows:
        listing.add_row(*row)
    console.print(listing)


def _measured(rates: Path | None) -> Rates:
    """Measure this machine's rates, and keep them in the file that is named."""
    from jobs.measure_rates import measured_rates

    began = time.monotonic()
    with _spark("plan") as (session, status):
        session_seconds = time.monotonic() - began
        status.update("measuring three nights of a drawn day")
        measured = measured_rates(session, session_seconds, _print_step)
    if rates:
        rates.parent.mkdir(parents=True, exist_ok=True)
        rates.write_text(measured.model_dump_json(indent=2) + "\n")
    return measured


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="one SELECT in DuckDB's SQL; - reads it from stdin")],
    file_format: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="how to print the rows")
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(help="write the rows to this file, as csv unless --format says another")
    ] = None,
    bom: Annotated[
        bool, typer.Option("--bom", help="write csv with a byte order mark, by which spreadsheets know Cyrillic")
    ] = False,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Ask the published tables, by the names of `checkout-ages tables`, and change nothing.

    Example: checkout-ages query "SELECT * FROM photo_coverage LIMIT 5" --warehouse-uri .demo/warehouse
    """
    from jobs.query import print_answer, query, save_answer

    with _explained():
        if bom and file_format in ("json", "parquet"):
            raise InputError(f"--bom is for csv, not for {file_format}: leave it out, or write --format csv")
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=warehouse_uri)
        answer = query(ObjectStore(settings.warehouse_uri), sys.stdin.read() if sql == "-" else sql)
        if out or bom or file_format != "table":
            save_answer(answer, file_format, out, with_bom=bom)
        else:
            print_answer(answer, console)


@app.command()
def catalogue(warehouse_uri: WarehouseUri = None) -> None:
    """Make the warehouse's catalog.duckdb anew, as each publish does: views by which DuckDB knows the tables.

    Example: checkout-ages catalogue --warehouse-uri .demo/warehouse
    """
    from jobs.catalogue import CATALOGUE, write_catalogue

    with _explained():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=warehouse_uri)
        store = ObjectStore(settings.warehouse_uri)
        store.check_reachable()
        replaced = write_catalogue(store)
    _say(f"{pasteable(store.location(CATALOGUE))} {'is written' if replaced else 'is up to date'}")


@app.command(name="tables")
def data_dictionary(
    file_format: Annotated[Literal["markdown", "json"], typer.Option("--format", help="for people or programs")] = (
        "markdown"
    ),
) -> None:
    """Print the data dictionary: each table's grain, key and columns.

    Example: checkout-ages tables --format json
    """
    print(tables.as_json() if file_format == "json" else tables.as_markdown())


@app.command(name="settings")
def list_settings() -> None:
    """List all settings with their defaults and meaning.

    Example: checkout-ages settings
    """
    listing = RichTable(Column("environment variable", no_wrap=True), "default", "meaning")
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() else str(field.default)
        listing.add_row(f"{PREFIX}{name.upper()}", default, field.description)
    listing.add_row(KEY_VARIABLE, "", KEY_MEANING)
    console.print(listing)


@app.command()
def pseudonym(
    cashier_ids: Annotated[
        list[str], typer.Argument(help="ids as on the receipts; - reads them from stdin, one a line")
    ],
) -> None:
    """Print cashiers' pseudonyms under the key of the environment, each before its id: who is who, for compliance.

    Example: checkout-ages pseudonym - < staff_ids.txt | grep '^p7k2qm3xa-mfrggzdfmztwq2lknnwg23tpoa'
    """
    with _explained():
        pseudonyms = cashier_pseudonyms(os.environ)
        if pseudonyms is None:
            raise InputError(f"no key: set {KEY_VARIABLE} to the key under which the pseudonyms were made")
    for cashier_id in sys.stdin.read().splitlines() if cashier_ids == ["-"] else cashier_ids:
        print(f"{pseudonyms.of(cashier_id.strip())}\t{cashier_id}")


def main() -> None:
    """Run the command line, and end the process."""
    try:
        app()
    except SystemExit as ended:
        end_process(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


@contextmanager
def _spark(name: str) -> Iterator[tuple[SparkSession, Status]]:
    """Start Spark, with a line on the terminal that says what runs, and stop it when all went well."""
    from jobs.local_spark import local_spark_environment
    from jobs.spark import spark_session

    os.environ |= local_spark_environment(os.environ) | dict(os.environ)
    _show_log()
    with console.status("starting Spark") as status:
        session = spark_session(name)
        yield session, status
    session.stop()


def _show_log() -> None:
    """Print what the steps log, such as how many photos are done, above the running step."""
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    log = logging.getLogger("jobs")
    log.setLevel(logging.INFO)
    log.handlers = [handler]


def _step_printer(status: Status) -> Callable[[str, float], None]:
    """Return a function that prints a finished step and shows the next one as running."""

    def step_done(step: str, seconds: float) -> None:
        _print_step(step, seconds)
        following = dict(pairwise(STEPS)).get(step)
        status.update(following or "done")

    return step_done


def _say(sentence: str) -> None:
    """Print a sentence on one line, so that the URIs in it can be copied whole."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _print_step(step: str, seconds: float) -> None:
    console.print(f"{step:28}{seconds:6.1f} s")


def _print_comparison(comparisons: list[pa.Table]) -> None:
    """Print one table per measure, summed over the days, and say how many photos were lost."""
    from jobs.model_comparison import lost_photo_count, summed_over_days

    summed = summed_over_days(comparisons)
    for measure, rows in groupby(summed.to_pylist(), key=itemgetter("measure")):
        listing = RichTable(
            Column(measure, overflow="fold"), *(Column(name, justify="right") for name in COMPARED_FIGURES)
        )
        for row in rows:
            percents = (_figure(row[name], "{:.1f}", 100) for name in ("live_share", "rescored_share"))
            points = _figure(row["share_shift"], "{:+.1f}", 100)
            years = _figure(row["mean_age_shift_years"], "{:+.1f}")
            listing.add_row(row["value"], str(row["live_count"]), str(row["rescored_count"]), *percents, points, years)
        console.print(listing)
    console.print(
        "points: shift of the share; years: how much older they look now, mean of those estimated both times",
        soft_wrap=True,
    )
    if (lost := lost_photo_count(summed)) > 0:
        console.print(
            f"photos that are no longer in the landing: {lost}. Buyers without another one became unknown, "
            "which is no shift of the model",
            style="yellow",
            soft_wrap=True,
        )


def _figure(value: float | None, form: str, factor: int = 1) -> str:
    return "" if value is None else form.format(factor * value)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a person can mend into one sentence and exit code 2, a failed check or a held lock into exit code 1."""
    try:
        yield
    except InputError as error:
        _complain(f"error: {error}", 2)
    except PublishingLockError as error:
        _complain(f"error: {error}", 1)
    except FailedCheckError as error:
        _complain(f"check failed: {error}", 1)


def _complain(sentence: str, exit_code: int) -> None:
    errors.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    main()
