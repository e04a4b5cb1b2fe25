"""measure_engines: every cell of the engine table in every round; a child process for each engine and thread count."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
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
    """Return the figures of each cell, and why engines are missing that could not be loaded."""
    errors: dict[str, str] = {}
    rates: dict[Cell, list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="checkout-ages-") as folder, ExitStack() as stack:
        options = {"fp32_network": str(Path(folder, "fp32.xml"))}
        _export(options, cores)
        children: dict[tuple[str, int], Child] = {}
        for name, threads in product(grid.engines, grid.threads):
            try:
                children[name, threads] = stack.enter_context(ready_child(_job(name, threads, grid, options, cores)))
            except ContenderError as error:
                errors[f"{name}, {threads} threads"] = str(error)
                console.print(str(error), style="red", markup=False)
        for number in range(rounds):
            for (name, threads), child in children.items():
                console.print(f"round {number + 1}: {name}, {threads} threads")
                for side, batch_size in product(grid.sides_pixels, grid.batch_sizes):
                    answer = child.go(side=side, batch_size=batch_size)
                    rates[name, threads, side, batch_size].append(answer["rows"] / answer["seconds"])
    return [_figures(cell, rates) for cell in rates], errors


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
