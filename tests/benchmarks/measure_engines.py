"""measure_engines: time every cell of the engine table in every round, a child process per engine and thread count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from tests.benchmarks.engines import KERAS_FP32
from tests.benchmarks.figures import spread
from tests.benchmarks.job import Job
from tests.benchmarks.plan import EngineGrid
from tests.benchmarks.turns import Child, ContenderError, ready_child

Cell = tuple[str, int, int, int]
"""Engine, threads, side in pixels, batch size."""


def measured_engines(
    grid: EngineGrid, rounds: int, cores: tuple[int, ...], console: Console
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the figures of each cell, and for engines that could not be loaded the reason."""
    errors: dict[str, str] = {}
    rates: dict[Cell, list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="checkout-ages-") as folder, ExitStack() as stack:
        options = {"fp32_network": str(Path(folder, "fp32.xml"))}
        with _noted("export for OpenVINO", errors, console):
            _export(options, cores)
        children: dict[tuple[str, int], Child] = {}
        for name, threads in product(grid.engines, grid.threads):
            with _noted(f"{name}, {threads} threads", errors, console):
                children[name, threads] = stack.enter_context(ready_child(_job(name, threads, grid, options, cores)))
        for number, ((name, threads), child) in product(range(rounds), children.items()):
            console.print(f"round {number + 1}: {name}, {threads} threads")
            with _noted(f"{name}, {threads} threads", errors, console):
                _go_through_cells(name, threads, child, grid, rates)
    return [_figures(cell, rates) for cell in rates], errors


def _go_through_cells(name: str, threads: int, child: Child, grid: EngineGrid, rates: dict[Cell, list[float]]) -> None:
    for side, batch_size in product(grid.sides_pixels, grid.batch_sizes):
        answer = child.go(side=side, batch_size=batch_size)
        rates[name, threads, side, batch_size].append(answer["rows"] / answer["seconds"])


@contextmanager
def _noted(name: str, errors: dict[str, str], console: Console) -> Iterator[None]:
    """Note an error instead of raising it, to keep the earlier measurements."""
    try:
        yield
    except ContenderError as error:
        errors[name] = str(error)
        console.print(str(error), style="red", markup=False)


def _job(name: str, threads: int, grid: EngineGrid, options: dict[str, Any], cores: tuple[int, ...]) -> Job:
    cells = list(product(grid.sides_pixels, grid.batch_sizes))
    told = {"engine": name, "threads": threads, "cells": cells, "seconds": grid.seconds}
    return Job("engine", "", "", 0, "", cores[:threads], options | told)


def _export(options: dict[str, Any], cores: tuple[int, ...]) -> None:
    with ready_child(Job("export", "", "", 0, "", cores, options)) as child:
        child.go()


def _figures(cell: Cell, rates: dict[Cell, list[float]]) -> dict[str, Any]:
    name, threads, side, batch_size = cell
    measured, keras = spread(rates[cell]), rates.get((KERAS_FP32, threads, side, batch_size))
    return {
        "engine": name,
        "threads": threads,
        "side_pixels": side,
        "batch_size": batch_size,
        "photos_per_second": asdict(measured),
        "ratio_to_keras_predict": measured.median / spread(keras).median if keras else None,
    }
