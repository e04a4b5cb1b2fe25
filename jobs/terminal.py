"""terminal: what all commands share: consoles, options, progress lines, and errors that become exit codes."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.status import Status

from jobs.errors import FailedCheckError, InputError, PublishingLockError
from jobs.steps.order import STEPS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

console = Console()
errors = Console(stderr=True)

BusinessDate = Annotated[
    datetime, typer.Option("--business-date", formats=["%Y-%m-%d"], help="the stores' day, as 2026-11-20")
]
LandingUri = Annotated[str | None, typer.Option(help="where photos and receipts land; else CHECKOUT_AGES_LANDING_URI")]
WarehouseUri = Annotated[str | None, typer.Option(help="where tables are published; else CHECKOUT_AGES_WAREHOUSE_URI")]


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turn an error that a person can fix into one sentence and exit code 2, a failed check or a held lock into 1."""
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


@contextmanager
def running_spark(name: str) -> Iterator[tuple[SparkSession, Status]]:
    """Start Spark, show on the terminal what runs, and stop Spark when all went well."""
    from jobs.local_spark import local_spark_environment
    from jobs.spark import spark_session

    os.environ |= local_spark_environment(os.environ) | dict(os.environ)
    show_log()
    with console.status("starting Spark") as status:
        session = spark_session(name)
        yield session, status
    # Not after a failure: the process then ends at once, and the session with it.
    session.stop()


def show_log() -> None:
    """Print the log of the steps, such as the number of finished photos, above the running step."""
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    log = logging.getLogger("jobs")
    log.setLevel(logging.INFO)
    # Replaced, not added: commands that call this twice would print each line twice.
    log.handlers = [handler]


def step_printer(status: Status) -> Callable[[str, float], None]:
    """Return a function that prints a finished step and shows the next one as running."""

    def step_done(step: str, seconds: float) -> None:
        print_step(step, seconds)
        following = dict(pairwise(STEPS)).get(step)
        status.update(following or "done")

    return step_done


def print_step(step: str, seconds: float) -> None:
    console.print(f"{step:28}{seconds:6.1f} s")


def say(sentence: str) -> None:
    """Print a sentence on one line, so that the URIs in it can be copied whole."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def pasteable(uri: str) -> str:
    """Return a URI as a person can paste it into a shell: quoted if the shell would misread it."""
    return shlex.quote(uri)
