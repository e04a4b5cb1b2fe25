"""commands: `checkout-ages` for who runs the nights, from check-delivery and doctor to plan and rescore."""

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
    step_printer,
)
from jobs.warehouse.object_store import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.operations.night_plan import Rates

app = typer.Typer()

COMPARED_FIGURES = ("live", "rescored", "live %", "rescored %", "points", "years")


@app.command(name="check-delivery")
def check_delivery(
    business_date: BusinessDate,
    files: Annotated[list[Path] | None, typer.Argument(help="receipt files; else what lies in the landing")] = None,
    landing_uri: LandingUri = None,
) -> None:
    """Say in seconds what a night would make of a day's receipts and photos; exit code 2: it would publish nothing.

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
    first_date: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first day, as 2026-11-18")],
    last_date: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, as 2026-11-20")],
    model_version: Annotated[str, typer.Option(help="the version to try")],
    inference_engine: Annotated[str | None, typer.Option(help="openvino or tensorflow; else the setting")] = None,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Build published days again with another model version, beside the live tables, and show what would change.

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
        check_model(settings)
        ObjectStore(settings.landing_uri).check_reachable()
        store = ObjectStore(settings.warehouse_uri)
        days, unpublished = published_days(Warehouse(store, run_id), first_date.date(), last_date.date())
        for day in unpublished:
            say(f"{day} is not published in {pasteable(settings.warehouse_uri)} and skipped")
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
def estimate(
    photos: Annotated[list[Path], typer.Argument(help="JPEG or PNG files, from a camera or cut to a face")],
) -> None:
    """Estimate the age in each photo: one JSON line per photo, also for one that cannot be used.

    Example: checkout-ages estimate face.jpg other.png
    """
    from jobs.ages.age_inference import estimate_photo_files

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=os.curdir, warehouse_uri=os.curdir)
        for line in estimate_photo_files(photos, settings):
            print(json.dumps(line), flush=True)


@app.command()
def doctor(
    file_format: Annotated[Literal["table", "json"], typer.Option("--format", help="for people or programs")] = "table",
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Say whether this machine can run the night, and how to fix what fails; exit code 1 when something fails.

    Example: checkout-ages doctor --landing-uri .demo/landing --warehouse-uri .demo/warehouse
    """
    from jobs.operations.doctor import findings

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
    with errors.status("looking"):
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
    from jobs.operations.sample_day.sample_day import write_sample_day
    from jobs.operations.sample_day.sample_faces import labelled_face_photos, synthetic_face_photos

    with errors_as_exit_codes():
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
    say(f"wrote {business_date.date()} to {pasteable(settings.landing_uri)}")


@app.command()
def plan(
    photos_per_day: Annotated[int, typer.Option(help="photos that land on a busy day")],
    stores: Annotated[int, typer.Option(help="stores that deliver")],
    hours: Annotated[float, typer.Option(help="within which a night is to end")],
    lines_per_photo: Annotated[float, typer.Option(help="receipt lines for each photo")] = 10.0,
    photo_kilobytes: Annotated[float, typer.Option(help="size of a photo")] = 200.0,
    rates: Annotated[Path | None, typer.Option(help="file of measured rates; else the built-in ones")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="measure this machine first, some minutes")] = False,
) -> None:
    """Say how many cores, how much memory and storage a night takes, and what gives way first.

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
    """Measure this machine's rates, and keep them in the file that is named."""
    from jobs.operations.measure_rates import measured_rates

    began = time.monotonic()
    with running_spark("plan") as (session, status):
        session_seconds = time.monotonic() - began
        status.update("measuring three nights of a drawn day")
        measured = measured_rates(session, session_seconds, print_step)
    if rates:
        rates.parent.mkdir(parents=True, exist_ok=True)
        rates.write_text(measured.model_dump_json(indent=2) + "\n")
    return measured


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
