"""photo_stages: where the milliseconds of a photo go, from bytes to estimate, by stage.

    python -m tests.benchmarks.photo_stages --photos 300
    python -m tests.benchmarks.photo_stages --folder DIR

Times are of CPU, each stage without the stages inside it. The photos are drawn: shops of 640 × 480 with a face of
nobody, and such faces alone, of 200 × 200; or they are those of a folder.
"""

from __future__ import annotations

import argparse
import functools
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from models.faces.synthetic_faces import SyntheticFaces
from models.serving import face_finding, face_photo, photo_preprocessing, upright_face
from models.serving.age_estimator import AgeEstimator
from models.serving.face_finding import FaceFinder
from models.serving.model_versions import MODEL_VERSIONS, weights_path
from tests.benchmarks.photos import JPEG_QUALITY, SEED, SYNTHETIC_FACES_VERSION, drawn_photos, own_photos

CROP_SIDE_PIXELS = 200
WARM_UP_PHOTOS = 20
REST = "all else"
LIE = "how the face lies"
LOOKS = "windows and boxes of closer looks"
AGE_NETWORK = "age network"

STAGES: tuple[tuple[str, Any, Sequence[str]], ...] = (
    ("header and damage checks", photo_preprocessing, ("_open", "_check_shape", "_orientation", "_check_scans")),
    ("decoding", photo_preprocessing, ("_decode_jpeg", "_decode_with_pillow")),
    ("scaling", face_finding, ("to_shape", "_image_to_shape", "reduced_to_shape")),
    ("boxes and doubles", face_finding, ("_boxes", "_faces")),
    ("turning", upright_face, ("turned",)),
    (LIE, face_photo, ("turned_upright", "stands")),
    ("cutting", face_photo, ("cut_square", "_square", "_at_least")),
    ("light, detail, proportions", face_photo, ("face_traits", "fault")),
    (AGE_NETWORK, AgeEstimator, ("estimate_pixels",)),
)
"""Each stage, with the module or class of the functions that are timed, and their names."""

SEARCHES = ("glance at a crop", "coarse search", "closer looks", "fine search", "searches of turned photos")


class StageClock:
    """Adds up the CPU time of nested stages, each without the stages inside it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's CPU time for a stage."""
        self._note()
        self.calls[name] += 1
        self._running.append(name)
        try:
            yield
        finally:
            self._note()
            self._running.pop()

    def is_running(self, name: str) -> bool:
        return name in self._running

    def _note(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = time.process_time()


@contextmanager
def timed_stages() -> Iterator[StageClock]:
    """Time all stages of the photos that are read within the block."""
    clock = StageClock()
    with ExitStack() as patches:
        for stage, owner, names in STAGES:
            for name in names:
                patches.enter_context(patch.object(owner, name, _timed(getattr(owner, name), clock, stage)))
        patches.enter_context(patch.object(FaceFinder, "_search", _timed_search(FaceFinder._search, clock)))
        patches.enter_context(patch.object(FaceFinder, "_look_closely", _timed(FaceFinder._look_closely, clock, LOOKS)))
        yield clock


def stage_milliseconds(estimator: AgeEstimator, photos: Sequence[bytes], rounds: int) -> dict[str, tuple[float, float]]:
    """Return milliseconds and calls per photo for each stage: the median round."""
    estimator.estimate(photos[:WARM_UP_PHOTOS])
    with timed_stages() as clock:
        turns = [_round(estimator, photos, clock) for _ in range(rounds)]
    names = [*(stage for stage, _, _ in STAGES), *SEARCHES, LOOKS, REST]
    return {name: (median(turn[0][name] for turn in turns), turns[0][1][name]) for name in names}


def drawn_crops(count: int) -> list[bytes]:
    """Draw faces of nobody as tight crops."""
    faces = SyntheticFaces.load(weights_path(SYNTHETIC_FACES_VERSION))
    return [_crop(faces, np.random.default_rng([SEED, 2, number])) for number in range(count)]


def _crop(faces: SyntheticFaces, random: np.random.Generator) -> bytes:
    pixels = faces.sample(float(random.uniform(faces.youngest_years, faces.oldest_years)), random)
    file = io.BytesIO()
    crop = Image.fromarray(pixels).resize((CROP_SIDE_PIXELS, CROP_SIDE_PIXELS), Image.Resampling.BICUBIC)
    crop.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _round(
    estimator: AgeEstimator, photos: Sequence[bytes], clock: StageClock
) -> tuple[dict[str, float], dict[str, float]]:
    clock.seconds.clear()
    clock.calls.clear()
    with clock.stage(REST):
        for first in range(0, len(photos), estimator.batch_size):
            estimator.estimate(photos[first : first + estimator.batch_size])
    milliseconds = Counter({name: 1000 * seconds / len(photos) for name, seconds in clock.seconds.items()})
    return milliseconds, Counter({name: calls / len(photos) for name, calls in clock.calls.items()})


def _timed(function: Callable[..., Any], clock: StageClock, stage: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        with clock.stage(stage):
            return function(*arguments, **named)

    return timed


def _timed_search(search: Callable[..., Any], clock: StageClock) -> Callable[..., Any]:
    """Time a search as one of several stages, by its caller and its shape."""
    glance, coarse, close, fine, of_turned = SEARCHES
    by_shape = {shape: fine for _, shape in face_finding.SEARCHES} | {face_finding.GLANCE_SHAPE: glance}
    by_caller = {LIE: of_turned, LOOKS: close}

    def timed(finder: FaceFinder, canvas: Any, *arguments: Any) -> Any:
        _, height, width, _ = canvas.shape
        callers = (kind for caller, kind in by_caller.items() if clock.is_running(caller))
        with clock.stage(next(callers, by_shape.get((width, height), coarse))):
            return search(finder, canvas, *arguments)

    return timed


def _table(title: str, stages: Mapping[str, tuple[float, float]]) -> Table:
    table = Table("stage", "CPU ms a photo", "share", "calls a photo", title=title)
    whole = sum(milliseconds for milliseconds, _ in stages.values())
    for name, (milliseconds, calls) in stages.items():
        table.add_row(name, f"{milliseconds:.3f}", f"{milliseconds / whole:.0%}", f"{calls:.2f}")
    table.add_row("all", f"{whole:.3f}", "100%", "")
    return table


def main() -> None:
    """Print a table for each kind of photo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300, help="how many of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="photos to take instead of drawn ones")
    parser.add_argument("--version", default=MODEL_VERSIONS[-1], choices=MODEL_VERSIONS)
    parser.add_argument("--drawn", type=Path, default=Path(".demo/bench_photos"), help="where drawn photos are kept")
    arguments = parser.parse_args()
    if arguments.folder:
        own = own_photos(arguments.folder, arguments.photos)
        kinds = {str(arguments.folder): [path.read_bytes() for path in own]}
    else:
        shops = [path.read_bytes() for path in drawn_photos(arguments.drawn, arguments.photos)]
        kinds = {"shops of 640 × 480": shops, "crops of 200 × 200": drawn_crops(arguments.photos)}
    estimator = AgeEstimator.load(arguments.version, threads=1)
    for kind, photos in kinds.items():
        Console().print(_table(kind, stage_milliseconds(estimator, photos, arguments.rounds)))


if __name__ == "__main__":
    main()
