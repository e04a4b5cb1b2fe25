"""cli: the commands for the age model that a person types, part of `checkout-ages`. Heavy imports wait inside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.errors import ModelInputError
from models.weights import WeightsError

app = typer.Typer()
console = Console()
errors = Console(stderr=True)

Labels = Annotated[
    Path | None, typer.Option(help="CSV with file_name,real_age; else IMAGES/labels.csv or UTKFace file names")
]
Images = Annotated[Path, typer.Option(help="folder of the photos")]
OutFolder = Annotated[Path, typer.Option(help="folder that takes what the command writes")]


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a person can mend into one sentence and exit code 2."""
    try:
        yield
    except (ModelInputError, WeightsError) as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
