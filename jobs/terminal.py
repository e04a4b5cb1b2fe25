"""terminal: shared parts of the commands: consoles, options, progress lines, and errors that become exit codes."""

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

from jobs.errors import (
    NOT_LANDED_YET,
    FailedCheckError,
    FailedDaysError,
    InputError,
    NotLandedError,
    PublishingLockError,
)
from jobs.steps.order import STEPS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

console = Console()
errors = Console(stderr=True)

BusinessDate = Annotated[
    datetime, typer.Option("--business-date", formats=["%Y-%m-%d"], help="day in the stores' time zone: 2026-11-20")
]
LandingUri = Annotated[
    str | None, typer.Option(help="folder or bucket with the stores' deliveries; default: CHECKOUT_AGES_LANDING_URI")
]
WarehouseUri = Annotated[
    str | None, typer.Option(help="folder or bucket with the tables; default: CHECKOUT_AGES_WAREHOUSE_URI")
]


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Print an error as one sentence and exit: with 2 if a person can fix it, with 1 for a failed check or lock."""
    try:
        yield
    except NotLandedError as error:
        _complain(f"error: {error}", NOT_LANDED_YET)
    except InputError as error:
        _complain(f"error: {error}", 2)
    except (PublishingLockError, FailedDaysError) as error:
        _complain(f"error: {error}", 1)
    except FailedCheckError as error:
        _complain(f"check failed: {error}", 1)


def _complain(sentence: str, exit_code: int) -> None:
    errors.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(exit_code)


@contextmanager
def running_spark(name: str) -> Iterator[tuple[SparkSession, Status]]:
    """Start Spark for the block, show the running step on the terminal, and stop Spark if the block succeeds."""
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
    """Return a function that prints a finished step of a night and shows the next step as running."""

    def step_done(step: str, seconds: float) -> None:
        print_step(step, seconds)
        following = dict(pairwise(STEPS)).get(step)
        status.update(following or "done")

    return step_done


def print_step(step: str, seconds: float) -> None:
    """Print the name of a finished step and its seconds."""
    console.print(f"{step:28}{seconds:6.1f} s")


def say(sentence: str) -> None:
    """Print a sentence without wrapping it, so that the URIs in it can be copied whole."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def pasteable(uri: str) -> str:
    """Return a URI that can be pasted into a shell: quoted if the shell would misread it."""
    return shlex.quote(uri)
