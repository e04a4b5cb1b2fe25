"""commands: the subcommands of `checkout-ages` for operators, from check-delivery and doctor to plan and rescore."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from jobs.errors import InputError
from jobs.schemas.runs import MODEL_COMPARISON
from jobs.settings import KEY_MEANING, KEY_VARIABLE, PREFIX, Settings, read_settings
from jobs.terminal import (
    BusinessDate,
    LandingUri,
    WarehouseUri,
    console,
    errors,
    errors_as_exit_codes,
    pasteable,
    print_step,
    running_spark,
    say,
    show_log,
    step_printer,
)
from jobs.warehouse.layout import path_safe
from jobs.warehouse.object_store import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.operations.night_plan import Rates

app = typer.Typer()

FirstDate = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first day: 2026-11-18")]
LastDate = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last day: 2026-11-20")]
COMPARED_FIGURES = ("live", "rescored", "live %", "rescored %", "points", "years")


@app.command(name="check-delivery")
def check_delivery(
    business_date: BusinessDate,
    files: Annotated[list[Path] | None, typer.Argument(help="receipt files; default: those in the landing")] = None,
    landing_uri: LandingUri = None,
) -> None:
    """Say what a night would keep and reject of a day's receipts and photos. Exit code 2: it would publish nothing.

    Example: checkout-ages check-delivery --business-date 2026-11-20 --landing-uri .demo/landing
    """
    from jobs.operations.check_delivery import check_files, check_landed_day
    from jobs.operations.delivery_in_words import delivery_in_words

    has_landing = bool(landing_uri or os.environ.get(f"{PREFIX}LANDING_URI"))
    with errors_as_exit_codes():
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


@app.command()
def rescore(
    first_date: FirstDate,
    last_date: LastDate,
    model_version: Annotated[str, typer.Option(help="version of the age model to try")],
    inference_engine: Annotated[
        str | None, typer.Option(help="openvino or tensorflow; default: CHECKOUT_AGES_INFERENCE_ENGINE")
    ] = None,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Rebuild published days with another model version, next to the live tables, and show what would change.

    Example: checkout-ages rescore --from 2026-11-18 --to 2026-11-20 --model-version age_resnet50-3
    """
    from jobs.ages.age_inference import check_model
    from jobs.operations.rescore import published_days, rescore_day
    from jobs.warehouse import catalogue
    from jobs.warehouse.warehouse import Warehouse

    run_id = f"rescore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with errors_as_exit_codes():
        settings = read_settings(
            os.environ,
            landing_uri=landing_uri,
            warehouse_uri=warehouse_uri,
            model_version=model_version,
            inference_engine=inference_engine,
        )
        check_model(settings.model_version, settings.inference_engine)
        ObjectStore(settings.landing_uri).check_reachable()
        store = ObjectStore(settings.warehouse_uri, settings.largest_copy_bytes)
        days, unpublished = published_days(Warehouse(store, run_id), first_date.date(), last_date.date())
        for day in unpublished:
            say(f"{day} is skipped: it is not published in {pasteable(settings.warehouse_uri)}")
        comparisons = []
        with running_spark(f"rescore with {model_version}") as (session, status):
            live = Warehouse(store, run_id, session)
            for day in days:
                console.print(f"{day} with {model_version}")
                comparisons.append(rescore_day(live, day, settings, step_printer(status)))
        catalogue.refresh(store)
    _print_comparison(comparisons)
    where = live.rescored(model_version).published.location(MODEL_COMPARISON)
    say(f"published as run {run_id}; the comparison by day: {pasteable(where)}")


@app.command()
def backfill(
    first_date: FirstDate,
    last_date: LastDate,
    days_per_application: Annotated[int, typer.Option(help="days that one Spark application builds")] = 28,
    applications: Annotated[
        int | None, typer.Option(min=1, help="Spark applications that run at a time; else the setting, 1")
    ] = None,
    published: Annotated[
        Literal["skip", "restate", "fail"], typer.Option(help="what to do with days that are published already")
    ] = "skip",
    run_id: Annotated[str | None, typer.Option(help="run id of a backfill to continue; else a new one")] = None,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Build, check and publish past days, many in one Spark application, without Airflow; then windows and reports.

    Exit code 1: a day failed. 75: all days are published but those that are not delivered. A killed backfill continues
    where it was, under its run id.

    Example: checkout-ages backfill --from 2026-11-01 --to 2026-11-28 --landing-uri .demo/landing --warehouse-uri
    .demo/warehouse
    """
    from jobs.ages.age_inference import check_model
    from jobs.operations.backfill import Backfill, build_days
    from jobs.steps import conclude_backfill, finish_backfill
    from jobs.steps.backfill_options import BackfillOptions, days_between
    from jobs.steps.backfilled_days import backfilled_days
    from jobs.warehouse.warehouse import Warehouse

    with errors_as_exit_codes():
        settings = read_settings(
            os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri, backfill_applications=applications
        )
        check_model(settings.model_version, settings.inference_engine)
        landing, store = ObjectStore(settings.landing_uri), ObjectStore(settings.warehouse_uri)
        landing.check_reachable()
        store.check_reachable()
        own_id = path_safe(run_id or f"backfill-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        days = days_between(first_date.date(), last_date.date())
        asked = Backfill(days, own_id, BackfillOptions(published, days_per_application))
        warehouse = Warehouse(store, own_id)
        show_log()
        say(f"run id {own_id}; if this backfill is killed, --run-id {own_id} continues it")
        with console.status("starting Spark") as status:
            build_days(warehouse, asked, settings, say, lambda progress: status.update(str(progress)))
            status.update("building windows and reports")
            try:
                finish_backfill.finish(warehouse, days, settings)
            finally:
                backfilled = backfilled_days(warehouse, landing, days, asked.options)
                for line in conclude_backfill.days_in_words(backfilled):
                    say(line)
        conclude_backfill.raise_if_incomplete(backfilled, own_id)
        warehouse.staging.drop_settings()


@app.command()
def estimate(
    photos: Annotated[list[Path], typer.Argument(help="JPEG or PNG files: whole scenes, or cut to a face")],
) -> None:
    """Estimate the age of the person in each photo. Prints one JSON line per photo, also for an unusable photo.

    Example: checkout-ages estimate face.jpg other.png
    """
    from jobs.ages.age_inference import PhotoInference, estimate_photo_files

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=os.curdir)
        for line in estimate_photo_files(photos, settings.part(PhotoInference)):
            print(json.dumps(line), flush=True)


@app.command()
def doctor(
    file_format: Annotated[Literal["table", "json"], typer.Option("--format", help="json is for programs")] = "table",
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Check whether this machine can run a night, and say how to fix what fails. Exit code 1: a check failed.

    Example: checkout-ages doctor --landing-uri .demo/landing --warehouse-uri .demo/warehouse
    """
    from jobs.operations.doctor import findings

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
    with errors.status("checking"):
        found = list(findings(settings))
    if file_format == "json":
        print(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        listing = RichTable("check", Column("status", no_wrap=True), Column("what was found", overflow="fold"))
        for finding in found:
            words = f"{finding.found}; to fix it, {finding.fix}" if finding.fix else finding.found
            style = "red" if finding.status == "fails" else None
            listing.add_row(*map(Text, (finding.check, finding.status, words)), style=style)
        console.print(listing)
    if any(finding.status == "fails" for finding in found):
        raise typer.Exit(1)


@app.command(name="sample-day")
def sample_day(
    business_date: BusinessDate,
    landing_uri: LandingUri = None,
    last_date: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="last day, if several are written; default: one day"),
    ] = None,
    faces: Annotated[
        Path | None, typer.Option(help="folder of labelled faces; default: drawn people who do not exist")
    ] = None,
    receipts: Annotated[
        Literal["completejourney", "synthetic"], typer.Option(help="source of the receipts: a real data set or made up")
    ] = "completejourney",
    chain: Annotated[
        Path | None,
        typer.Option(help="TOML file with the size of the chain and what is planted in it; month.toml is an example"),
    ] = None,
    seed: Annotated[int, typer.Option(help="random seed; the same seed writes the same days")] = 1,
    truth: Annotated[
        Path | None, typer.Option(help="CSV file to write the true ages, the faults and what was planted to")
    ] = None,
) -> None:
    """Write days of photos and receipts, for trials. The true ages, the faults and what is planted are known.

    Example: checkout-ages sample-day --business-date 2026-11-20 --landing-uri .demo/landing --truth .demo/truth.csv
    """
    from jobs.operations.sample_day.sample_chain import DEMO_CHAIN, read_chain
    from jobs.operations.sample_day.sample_day import truth_of_days, write_sample_day
    from jobs.operations.sample_day.sample_faces import labelled_face_photos, synthetic_face_photos
    from jobs.steps.backfill_options import days_between

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=os.curdir)
        planted = read_chain(chain) if chain else DEMO_CHAIN
        if last_date and last_date < business_date:
            raise InputError(f"--business-date {business_date.date()} lies after --to {last_date.date()}")
        days = days_between(business_date.date(), (last_date or business_date).date())
        photos = labelled_face_photos(faces) if faces else synthetic_face_photos()
        landing, time_zone = ObjectStore(settings.landing_uri), settings.store_time_zone
        truths = []
        with console.status("writing") as status:
            for day in days:
                status.update(f"writing {day} to {settings.landing_uri}")
                truths.append(write_sample_day(landing, day, photos, receipts, seed, time_zone, planted))
        if truth:
            truth.parent.mkdir(parents=True, exist_ok=True)
            truth_of_days(truths).to_csv(truth, index=False)
    wrote = f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])
    say(f"wrote {wrote} to {pasteable(settings.landing_uri)}")


@app.command()
def plan(
    photos_per_day: Annotated[int, typer.Option(help="number of photos delivered on a busy day")],
    stores: Annotated[int, typer.Option(help="number of stores that deliver")],
    hours: Annotated[float, typer.Option(help="hours in which a night must end")],
    lines_per_photo: Annotated[float, typer.Option(help="receipt lines per photo")] = 10.0,
    photo_kilobytes: Annotated[float, typer.Option(help="size of a photo in kilobytes")] = 200.0,
    rates: Annotated[
        Path | None, typer.Option(help="file of measured rates; default: the rates of the documentation")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="measure the rates of this machine first, which takes some minutes")
    ] = False,
) -> None:
    """Say how many cores, and how much memory and storage, a night needs, and which of them runs out first.

    Example: checkout-ages plan --photos-per-day 200000 --stores 300 --hours 3
    """
    from jobs.operations.night_plan import DEFAULT_RATES, Day, in_words, night_plan, read_rates

    with errors_as_exit_codes():
        day = Day(photos_per_day, stores, hours, lines_per_photo, photo_kilobytes)
        known = _measured(rates) if measure else read_rates(rates) if rates else DEFAULT_RATES
        rows = in_words(night_plan(day, known), day, known)
    listing = RichTable(Column("", no_wrap=True), Column("", overflow="fold"), show_header=False)
    for row in rows:
        listing.add_row(*row)
    console.print(listing)


def _measured(rates: Path | None) -> Rates:
    """Measure this machine's rates, and write them to the file `rates` if one is given."""
    from jobs.operations.measure_rates import measured_rates

    began = time.monotonic()
    with running_spark("plan") as (session, status):
        session_seconds = time.monotonic() - began
        status.update("running three nights of a generated day")
        measured = measured_rates(session, session_seconds, print_step)
    if rates:
        rates.parent.mkdir(parents=True, exist_ok=True)
        rates.write_text(measured.model_dump_json(indent=2) + "\n")
    return measured


@app.command(name="settings")
def list_settings() -> None:
    """List all settings with their default values and meanings.

    Example: checkout-ages settings
    """
    listing = RichTable(Column("environment variable", no_wrap=True), "default", "meaning")
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() else str(field.default)
        listing.add_row(f"{PREFIX}{name.upper()}", default, field.description)
    listing.add_row(KEY_VARIABLE, "", KEY_MEANING)
    console.print(listing)


def _print_comparison(comparisons: list[pa.Table]) -> None:
    """Print one table per measure, summed over the days, and say how many photos were lost."""
    from jobs.tables.model_comparison import lost_photo_count, summed_over_days

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
        "points: change of the share, in percentage points; years: how much older the new model estimates people, mean "
        "over those whom both models estimated",
        soft_wrap=True,
    )
    if (lost := lost_photo_count(summed)) > 0:
        console.print(
            f"photos that are no longer in the landing: {lost}. Buyers without another photo are now unknown; "
            "the model did not cause that",
            style="yellow",
            soft_wrap=True,
        )


def _figure(value: float | None, form: str, factor: int = 1) -> str:
    return "" if value is None else form.format(factor * value)
