"""measure_growth: time the Spark stage, without its start, on growing numbers of photos, and its workers' memory.

Each slot has one core and Spark has no others, or a single slot would decode ahead on an idle core. For comparison, as
many processes on as many cores only find faces and run the network. Where cores share their computing units, two such
processes are less than twice as fast as one, and no stage can scale better.
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from tests.benchmarks.contenders import GROWTH
from tests.benchmarks.figures import quarters
from tests.benchmarks.job import Job
from tests.benchmarks.plan import PhotoSets, Plan
from tests.benchmarks.turns import Child, ContenderError, ready_child


def measured_growth(photos: PhotoSets, plan: Plan, cores: tuple[int, ...], console: Console) -> list[dict[str, Any]]:
    """Return the times of each number of photos for each number of task slots, each in its own Spark application."""
    return [_grown_or_error(slots, photos, cores[:slots], console) for slots in plan.growth_slots]


def _grown_or_error(slots: int, photos: PhotoSets, cores: tuple[int, ...], console: Console) -> dict[str, Any]:
    try:
        return _grown(slots, photos, cores, console)
    except ContenderError as error:
        console.print(str(error), style="red", markup=False)
        return {"slots": slots, "error": str(error), "runs": []}


def _grown(slots: int, photos: PhotoSets, cores: tuple[int, ...], console: Console) -> dict[str, Any]:
    job = Job(GROWTH, str(photos.photos), str(photos.warm_up), photos.photo_count, "", cores, {"slots": slots})
    with ready_child(job) as child:
        runs = []
        for count, folder in photos.growth.items():
            runs.append(_run(child, count, str(folder)))
            console.print(f"growth, {slots} slots: {count} photos, {runs[-1]['photos_per_second']:.1f} photos/s")
    engine = _engine_photos_per_second(slots, photos, cores)
    console.print(f"growth, {slots} processes of the engine alone: {engine:.1f} photos/s")
    return {"slots": slots, **child.facts, "runs": runs, "engine_photos_per_second": engine}


def _engine_photos_per_second(processes: int, photos: PhotoSets, cores: tuple[int, ...]) -> float:
    job = Job("a", str(photos.photos), str(photos.warm_up), photos.photo_count, "", cores, {"processes": processes})
    with ready_child(job) as child:
        answer = child.go()
    return float(answer["rows"] / answer["seconds"])


def _run(child: Child, count: int, folder: str) -> dict[str, Any]:
    since = time.monotonic()
    answer = child.go(photos=folder)
    worker_bytes = child.memory.worker_bytes(since, time.monotonic())
    return {
        "photos": count,
        "rows": answer["rows"],
        "seconds": answer["seconds"],
        "photos_per_second": answer["rows"] / answer["seconds"],
        "worker_memory": {**quarters(worker_bytes), "samples": len(worker_bytes)},
    }
