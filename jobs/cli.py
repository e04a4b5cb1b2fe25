"""cli: `checkout-ages`, the commands a person types."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table as RichTable

from jobs import tables
from jobs.errors import FailedCheckError, InputError
from jobs.object_store import ObjectStore
from jobs.run import STEPS
from jobs.settings import PREFIX, Settings, read_settings
from models.cli import app as model_commands

app = typer.Typer(
    help="Nightly age-group purchase and alcohol-sale audit tables from checkout photos and receipts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(model_commands)
console = Console()
errors = Console(stderr=True)

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
    from jobs.local_spark import local_spark_environment
    from jobs.night import run_night
    from jobs.run import spark_session
    from jobs.warehouse import Warehouse

    day = business_date.date()
    with _explained():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        if missing := missing_markers(ObjectStore(settings.landing_uri), day):
            raise InputError(f"business date {day} has not landed: missing {' and '.join(missing)}")
        os.environ |= local_spark_environment(os.environ) | dict(os.environ)
        run_id = f"night-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with console.status("starting Spark") as status:
            session = spark_session(f"night {day}")
            warehouse = Warehouse(ObjectStore(settings.warehouse_uri), run_id, session)
            status.update("wait_for_business_date")
            run_night(warehouse, day, settings, _step_printer(status))
        session.stop()
    console.print(f"published {day} as run {run_id} to {settings.warehouse_uri}")


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
    console.print(f"wrote {business_date.date()} to {settings.landing_uri}")


@app.command(name="tables")
def data_dictionary() -> None:
    """Print the data dictionary: each table's grain, key and columns, as Markdown.

    Example: checkout-ages tables
    """
    print(tables.as_markdown())


@app.command(name="settings")
def list_settings() -> None:
    """List all settings with their defaults and meaning.

    Example: checkout-ages settings
    """
    listing = RichTable("environment variable", "default", "meaning")
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() else str(field.default)
        listing.add_row(f"{PREFIX}{name.upper()}", default, field.description)
    console.print(listing)


def main() -> None:
    """Run the command line."""
    app()


def _step_printer(status: Status) -> Callable[[str, float], None]:
    """Return a function that prints a finished step and shows the next one as running."""

    def step_done(step: str, seconds: float) -> None:
        console.print(f"{step:28}{seconds:6.1f} s")
        following = dict(pairwise(STEPS)).get(step)
        status.update(following or "done")

    return step_done


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a person can mend into one sentence and exit code 2, a failed check into exit code 1."""
    try:
        yield
    except InputError as error:
        _complain(f"error: {error}", 2)
    except FailedCheckError as error:
        _complain(f"check failed: {error}", 1)


def _complain(sentence: str, exit_code: int) -> None:
    errors.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(exit_code)


if __name__ == "__main__":
    main()
