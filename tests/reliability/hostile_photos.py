"""hostile_photos: check that files that no camera took give a status in a worker: no crash, no hang, little memory.

A child process passes the files one by one through the code of Spark's workers, and reports the begin and end of each.
So its parent sees which file crashes it, or takes too long. A hang is judged by the child's CPU time, which other work
on the machine does not change; for a child that sleeps, the limit is twelve times as long by the clock. Another child
passes all files at once through the stage of a task, as fast as it can: its peak memory is the reported figure.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.reliability.hostile_files import SEEN, HostileFile, corpus, encoded, face, mutated

LONGEST_CPU_SECONDS = 5.0
LONGEST_CLOCK_SECONDS = 60.0
LONGEST_START_SECONDS = 300.0
MEMORY_BOUND_MIB = 2048
"""Bound for a Python worker with tasks of one core, for any photos; jobs/operations/README.md states it."""
MUTATED_FILES, QUICK_MUTATED_FILES = 5_000, 150

CRASH, HANG = b"planted crash", b"planted hang"


@dataclass
class Outcomes:
    """The results of the files of one child."""

    tried: int = 0
    crashed: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def measure(folder: Path, quick: bool = False) -> dict[str, int | float]:
    """Try all files, as the module's docstring describes."""
    made = list(representative(corpus()) if quick else corpus())
    files = made + list(mutated(QUICK_MUTATED_FILES if quick else MUTATED_FILES))
    outcomes = try_each(folder / "files", files)
    controls = try_each(folder / "controls", planted_files(), with_controls=True)
    peak_mib, wrong_in_stage = try_at_once(folder / "stage", made)
    for sentence in (*outcomes.crashed, *outcomes.hung, *outcomes.wrong, *wrong_in_stage):
        print(f"hostile_photos: {sentence}", file=sys.stderr)
    return {
        "hostile_files_tried": outcomes.tried,
        "hostile_crashes": len(outcomes.crashed),
        "hostile_hangs": len(outcomes.hung),
        "hostile_wrong_status": len(outcomes.wrong) + len(wrong_in_stage),
        "peak_worker_memory_mib": peak_mib,
        "controls_planted": 3,
        "controls_caught": len(controls.crashed) + len(controls.hung) + len(controls.wrong),
    }


def representative(files: Iterable[HostileFile]) -> Iterator[HostileFile]:
    """Yield files of all kinds; of files that differ only in the place of the damage, only every eighth."""
    for number, file in enumerate(files):
        if number % 8 == 0 or not (" cut at " in file[0] or " with bit " in file[0]):
            yield file


def planted_files() -> list[HostileFile]:
    """Return files that crash or hang the child on purpose, and a sound photo with a wrong expected status."""
    sound = encoded(face())
    return [
        ("sound", sound, SEEN),
        ("crash", CRASH, frozenset({"not_an_image"})),
        ("hang", HANG, frozenset({"not_an_image"})),
        ("called empty", sound, frozenset({"empty"})),
    ]


def try_each(folder: Path, files: Sequence[HostileFile], with_controls: bool = False) -> Outcomes:
    """Pass files one by one through a child; after a crash or a hang a new child continues with the next file."""
    _write(folder, files)
    outcomes = Outcomes()
    while outcomes.tried < len(files):
        _try_from(folder, files, outcomes, with_controls)
    return outcomes


def try_at_once(folder: Path, files: Sequence[HostileFile]) -> tuple[int, list[str]]:
    """Pass files through the stage of a task; return the child's peak memory in MiB, and files with a wrong status."""
    _write(folder, files)
    done = subprocess.run(_child(folder, "stage"), capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        return 0, [f"the stage ended with {done.returncode}: {done.stderr[-500:]}"]
    answer = json.loads(done.stdout.splitlines()[-1])
    pairs = zip(files, answer["statuses"], strict=True)
    wrong = [f"{name}: {status} in the stage" for (name, _, fits), status in pairs if status not in fits]
    return answer["peak_mib"], wrong


def _write(folder: Path, files: Sequence[HostileFile]) -> None:
    (folder / "photos").mkdir(parents=True)
    for number, (_, content, _) in enumerate(files):
        (folder / "photos" / f"{number:05d}.jpg").write_bytes(content)


def _child(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.reliability.hostile_photos", str(folder), *arguments]


def _try_from(folder: Path, files: Sequence[HostileFile], outcomes: Outcomes, with_controls: bool) -> None:
    """Run one child from the first file that was not tried until it ends, crashes or hangs."""
    arguments = ["each", str(outcomes.tried), "controls" if with_controls else "none"]
    with subprocess.Popen(_child(folder, *arguments), stdout=subprocess.PIPE) as child:
        try:
            for told in _told_by(child):
                name, _, fits = files[outcomes.tried]
                outcomes.tried += 1
                if told.get("status") not in fits:
                    outcomes.wrong.append(f"{name}: {told.get('status')} ({told.get('reason')})")
                if told["cpu_seconds"] > LONGEST_CPU_SECONDS:
                    outcomes.hung.append(f"{name}: {told['cpu_seconds']:.1f} s of processor time")
        except TimeoutError as error:
            outcomes.hung.append(f"{files[outcomes.tried][0]}: {error}")
            outcomes.tried += 1
            return
        else:
            child.wait()
        finally:
            child.kill()
    if child.returncode:
        outcomes.crashed.append(f"{files[outcomes.tried][0]}: the child ended with {child.returncode}")
        outcomes.tried += 1


def _told_by(child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the child's report on each finished file. Raises TimeoutError when a file takes too long."""
    assert child.stdout is not None
    process = psutil.Process(child.pid)
    began, cpu_before, limit = time.monotonic(), 0.0, LONGEST_START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(timeout=0.5):
                line = child.stdout.readline()
                if not line:
                    return
                if told := json.loads(line):
                    yield told
                began, cpu_before, limit = time.monotonic(), _cpu_seconds(process), LONGEST_CLOCK_SECONDS
                continue
            if limit == LONGEST_CLOCK_SECONDS and _cpu_seconds(process) - cpu_before > LONGEST_CPU_SECONDS + 1:
                raise TimeoutError(f"over {LONGEST_CPU_SECONDS} s of processor time")
            if time.monotonic() - began > limit:
                raise TimeoutError(f"nothing for {limit} s")


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _photos(folder: Path) -> list[Path]:
    return sorted((folder / "photos").iterdir())


def _try_one_by_one(folder: Path, first: int, with_controls: bool) -> None:
    """Run in the child: report {} when it is ready, then the status of each photo."""
    from jobs.ages.age_inference import PhotoInference, estimate_photo_files
    from jobs.settings import read_settings

    settings = read_settings({}, landing_uri=folder.as_uri(), warehouse_uri=folder.as_uri())
    sound = folder / "sound.jpg"
    sound.write_bytes(encoded(face()))
    list(estimate_photo_files([sound], settings.part(PhotoInference)))
    _say({})
    for path in _photos(folder)[first:]:
        if with_controls:
            _do_as_planted(path)
        began = time.process_time()
        (row,) = estimate_photo_files([path], settings.part(PhotoInference))
        told = {"status": row["estimate_status"], "reason": row["estimate_reason"]}
        _say(told | {"cpu_seconds": time.process_time() - began})


def _do_as_planted(path: Path) -> None:
    planted = path.read_bytes()
    if planted == CRASH:
        os.kill(os.getpid(), signal.SIGSEGV)
    while planted == HANG:
        pass


def _try_at_once(folder: Path) -> None:
    """Run in the child: pass all photos through the stage of a task."""
    import pandas as pd

    from jobs.ages.age_inference import PhotoInference, task_stage
    from jobs.settings import read_settings
    from jobs.warehouse.object_store import ObjectStore

    settings = read_settings({}, landing_uri=folder.as_uri(), warehouse_uri=folder.as_uri())
    listed = sorted(ObjectStore(settings.landing_uri).list("photos"), key=lambda photo: photo.key)
    rows: Iterable[Any] = [(photo.key, photo.etag, photo.size_bytes, None, 1.0) for photo in listed]
    photos = pd.DataFrame(rows, columns=["photo_key", "etag", "size_bytes", "key_problem", "photo_stretch"])
    statuses = [
        row["estimate_status"] for page in task_stage(settings.part(PhotoInference)).estimates([photos]) for row in page
    ]
    _say({"statuses": statuses, "peak_mib": _peak_mib()})


def _peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "stage":
        _try_at_once(Path(sys.argv[1]))
    else:
        _try_one_by_one(Path(sys.argv[1]), int(sys.argv[3]), sys.argv[4] == "controls")
