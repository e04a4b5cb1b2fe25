"""report: show the figures as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from tests.benchmarks.figures import RATIOS

MEBIBYTE = 1024 * 1024
CAPTION = (
    "Photos a second: median of the rounds, and lowest to highest. Loading the model and warming up are not in it. "
    "Peak memory: all processes of the contender together (PSS), and the largest of them (RSS)."
)


def tables(measured: Mapping[str, Any]) -> Iterator[Table]:
    """Yield a table for each part that was measured."""
    if measured["contenders"]:
        yield _contenders(measured["contenders"], measured["setup"])
        yield _ratios(measured["ratios"])
    if measured["growth"]:
        yield _growth(measured["growth"])
    if measured["engines"]:
        yield _engines(measured["engines"])
    if measured["matching"]:
        yield _matching(measured["matching"])
    if measured["nights"]:
        yield _nights(measured["nights"])
    if measured["million"]:
        yield _million(measured["million"])


def _contenders(contenders: Mapping[str, Any], setup: Mapping[str, Any]) -> Table:
    photos = f"{setup['photos']} photos, of which {setup['keras_photos']} with Keras"
    title = f"{photos}, {setup['rounds']} rounds, {setup['model_version']}"
    table = Table("", "what", title=title, caption=CAPTION)
    for heading in ("photos/s", "lowest–highest", "loading s", "memory MiB"):
        table.add_column(heading, justify="right")
    table.add_column("largest process")
    for name, figures in contenders.items():
        table.add_row(name, figures["title"], *_contender_cells(figures))
    return table


def _contender_cells(figures: Mapping[str, Any]) -> list[str]:
    if "photos_per_second" not in figures:
        return ["failed", "", "", "", ""]
    rate, memory = figures["photos_per_second"], figures["peak_memory"]
    return [
        f"{rate['median']:.1f}",
        f"{rate['lowest']:.1f}–{rate['highest']:.1f}",
        f"{figures['loading_seconds']['median']:.0f}",
        f"{memory['all_processes_bytes'] / MEBIBYTE:.0f}",
        f"{memory['largest_process']} {memory['largest_process_bytes'] / MEBIBYTE:.0f} MiB",
    ]


def _ratios(values: Mapping[str, float | None]) -> Table:
    table = Table("ratio", "of medians", "value", title="Ratios")
    for name, value in values.items():
        over, under = RATIOS[name]
        shown = "not measured" if value is None else f"{value:.2f}"
        table.add_row(name, f"{over} / {' or '.join(under)}", shown)
    return table


def _growth(growth: list[dict[str, Any]]) -> Table:
    table = Table("slots", "photos", "seconds", "photos/s", "worker MiB", "last to second quarter", title="Growth")
    for slots in growth:
        for run in slots["runs"]:
            memory = run["worker_memory"]
            table.add_row(
                str(slots["slots"]),
                str(run["photos"]),
                f"{run['seconds']:.1f}",
                f"{run['photos_per_second']:.1f}",
                _megabytes(memory["last_quarter_median"]),
                "" if memory["last_to_second"] is None else f"{memory['last_to_second']:.3f}",
            )
    scaling = _scaling([slots for slots in growth if "error" not in slots])
    cold_starts = ", ".join(f"{slots['cold_start_seconds']:.1f}" for slots in growth if "error" not in slots)
    table.caption = f"Net of the start. Seconds until a fresh worker has its first estimate: {cold_starts}.{scaling}"
    return table


def _scaling(growth: list[dict[str, Any]]) -> str:
    """Compare the gain from more slots with the gain from as many processes that only compute."""
    if len(growth) < 2:
        return ""
    one, more = growth[0], growth[-1]
    stage = more["runs"][-1]["photos_per_second"] / one["runs"][-1]["photos_per_second"]
    engine = more["engine_photos_per_second"] / one["engine_photos_per_second"]
    return (
        f" {more['slots']} slots on as many cores over {one['slots']}: {stage:.2f} times the photos a second; as many "
        f"processes of face finding and network alone: {engine:.2f} times; the first over the second: "
        f"{stage / engine:.2f}."
    )


def _engines(cells: list[dict[str, Any]]) -> Table:
    table = Table("engine", "threads", "pixels", "batch", title="Engines, both networks, by Keras predict in fp32")
    for heading in ("photos/s", "lowest–highest", "ratio"):
        table.add_column(heading, justify="right")
    for cell in cells:
        rate, ratio = cell["photos_per_second"], cell["ratio_to_keras_predict"]
        table.add_row(
            cell["engine"],
            *(str(cell[name]) for name in ("threads", "side_pixels", "batch_size")),
            f"{rate['median']:.1f}",
            f"{rate['lowest']:.1f}–{rate['highest']:.1f}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    return table


def _matching(matching: Mapping[str, Any]) -> Table:
    table = Table("transactions", "method", title="Photos matched to as many transactions")
    for heading in ("seconds", "lowest–highest", "one pass / bucket join"):
        table.add_column(heading, justify="right")
    for day, methods in matching["seconds"].items():
        for method, seconds in methods.items():
            span = f"{seconds['lowest']:.1f}–{seconds['highest']:.1f}"
            ratio = f"{matching['one_pass_to_bucket_join'][day]:.2f}"
            table.add_row(day, method, f"{seconds['median']:.1f}", span, ratio)
    doubling = ", ".join(f"{method} {ratio:.2f}" for method, ratio in matching["doubling"].items())
    table.caption = f"Time for twice the day: {doubling}."
    return table


def _nights(nights: Mapping[str, Any]) -> Table:
    whole = [night for night in nights["nights"] if "error" not in night]
    growth = ", ".join(
        f"{times['lines']:.2f} times the lines take {times['seconds']:.2f} times the time and "
        f"{times['cpu_seconds']:.2f} times the CPU"
        for times in nights["times_the_size_before"]
    )
    caption = f"{growth}. Memory: all processes of a step together (PSS); Spark's driver has {nights['driver_memory']}."
    table = Table("step", title="Nights after inference, on 2 cores", caption=caption)
    for night in whole:
        table.add_column(f"{night['lines']} lines, {night['photos']} photos: s", justify="right")
        table.add_column("CPU s", justify="right")
        table.add_column("memory MiB", justify="right")
    for step in whole[0]["steps"] if whole else ():
        table.add_row(step, *(cell for night in whole for cell in _night_cells(night["steps"][step])))
    table.add_row("all", *(cell for night in whole for cell in _night_cells(night)))
    return table


def _million(night: Mapping[str, Any]) -> Table:
    table = Table("step", title="A night of tiny photos on S3, inference a constant, on 2 cores")
    for heading in ("seconds", "CPU s", "memory MiB", "largest process", "MiB"):
        table.add_column(heading, justify="right")
    for step, measured in night["steps"].items():
        largest = _megabytes(measured["largest_process_bytes"])
        table.add_row(step, *_night_cells(measured), measured["largest_process"], largest)
    table.add_row("all", *_night_cells(night), "", _megabytes(night["largest_process_bytes"]))
    table.caption = (
        f"{night['run']['landed_photo_count']} photos, {night['run']['accepted_line_count']} lines of "
        f"{night['run']['transaction_count']} receipts, of which {night['run']['estimated_transaction_count']} have an "
        "estimate. Memory: all processes of a step (PSS), the largest (RSS); Spark's driver, with the tasks in it, "
        f"has a heap of {night['driver_memory']}."
    )
    return table


def _night_cells(measured: Mapping[str, Any]) -> list[str]:
    memory = _megabytes(measured["peak_memory_bytes"])
    return [f"{measured['seconds']:.0f}", f"{measured['cpu_seconds']:.0f}", memory]


def _megabytes(size: float | None) -> str:
    return "" if size is None else f"{size / MEBIBYTE:.0f}"
