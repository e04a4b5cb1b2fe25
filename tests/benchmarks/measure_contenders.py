"""measure_contenders: time all contenders round by round, one child process at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from rich.console import Console

from tests.benchmarks.contenders import CONTENDERS, KERAS
from tests.benchmarks.figures import spread
from tests.benchmarks.job import Job
from tests.benchmarks.plan import PhotoSets, Plan
from tests.benchmarks.s3_photos import photos_on_s3
from tests.benchmarks.turns import ContenderError, ready_child

ON_S3 = "c"
S3_SERVER = "weed"
MAY_ANSWER_FEWER = frozenset({"a-prime", "a-prime-before"})
"""They get only the squares of photos in which a face was found."""


@dataclass(frozen=True)
class Turn:
    """The result of one contender in one round."""

    photos_per_second: float
    seconds: float
    loading_seconds: float
    peak_tree_bytes: int
    largest_process: tuple[str, int]
    server_cpu_seconds: float
    """CPU time of the S3 server on the same cores during the turn."""


def measured_contenders(
    names: Sequence[str], photos: PhotoSets, plan: Plan, cores: tuple[int, ...], console: Console
) -> dict[str, Any]:
    """Return the figures of each contender by name. A contender that breaks has an `error` and gets no more turns."""
    turns: dict[str, list[Turn]] = defaultdict(list)
    errors: dict[str, str] = {}
    with ExitStack() as stack:
        places = _places(names, photos, stack)
        for number in range(plan.rounds):
            for name in [name for name in names if name not in errors]:
                try:
                    turn = _turn(_job(name, photos, places, cores), is_weighed=number == 0)
                except ContenderError as error:
                    errors[name] = str(error)
                    console.print(str(error), style="red", markup=False)
                    continue
                turns[name].append(turn)
                console.print(
                    f"round {number + 1}: {name} ({CONTENDERS[name]}) {turn.photos_per_second:.1f} photos/s",
                    markup=False,
                )
    return {name: _figures(name, turns[name], errors.get(name)) for name in names}


def _places(names: Sequence[str], photos: PhotoSets, stack: ExitStack) -> dict[str, tuple[str, str]]:
    """Return for each contender the places of its photos and of its photos for warming up."""
    places = {
        name: (str(photos.keras_photos if name in KERAS else photos.photos), str(photos.warm_up)) for name in names
    }
    if ON_S3 in names:
        uris = stack.enter_context(photos_on_s3({"photos": photos.photos, "warm_up": photos.warm_up}))
        places[ON_S3] = uris["photos"], uris["warm_up"]
    return places


def _job(name: str, photos: PhotoSets, places: dict[str, tuple[str, str]], cores: tuple[int, ...]) -> Job:
    timed, warm_up = places[name]
    photo_count = photos.keras_photo_count if name in KERAS else photos.photo_count
    return Job(name, timed, warm_up, photo_count, work="", cores=cores)


def _turn(job: Job, is_weighed: bool) -> Turn:
    """Time a turn without sampling memory; run a second turn if its memory is asked for."""
    with ready_child(job) as child:
        server_before = _server_cpu_seconds()
        with child.memory.paused():
            answer = child.go()
        server_cpu_seconds = _server_cpu_seconds() - server_before
        if is_weighed:
            child.go()
    rows = answer["rows"]
    if rows != job.photo_count and (job.contender not in MAY_ANSWER_FEWER or not rows):
        raise ContenderError(f"contender '{job.contender}' gave {rows} rows for {job.photo_count} photos")
    return Turn(
        photos_per_second=rows / answer["seconds"],
        seconds=answer["seconds"],
        loading_seconds=child.loading_seconds,
        peak_tree_bytes=child.memory.peak_tree_bytes(),
        largest_process=child.memory.largest_process(),
        server_cpu_seconds=server_cpu_seconds,
    )


def _server_cpu_seconds() -> float:
    times = [process.cpu_times() for process in psutil.Process().children() if process.name() == S3_SERVER]
    return sum(time.user + time.system for time in times)


def _figures(name: str, turns: list[Turn], error: str | None) -> dict[str, Any]:
    figures: dict[str, Any] = {"title": CONTENDERS[name]}
    if error:
        figures["error"] = error
    if not turns:
        return figures
    process, process_bytes = max((turn.largest_process for turn in turns), key=lambda largest: largest[1])
    return figures | {
        "photos_per_second": asdict(spread([turn.photos_per_second for turn in turns])),
        "loading_seconds": asdict(spread([turn.loading_seconds for turn in turns])),
        "peak_memory": {
            "all_processes_bytes": max(turn.peak_tree_bytes for turn in turns),
            "largest_process": process,
            "largest_process_bytes": process_bytes,
        },
        "turns": [asdict(turn) for turn in turns],
    }
