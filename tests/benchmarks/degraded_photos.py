"""degraded_photos: whether a bad camera makes the model take adults for minors, and what its checks cost sound faces.

    python -m tests.benchmarks.degraded_photos --labels labels.csv --images DIR --out .demo/degraded_photos.json

Faces of a split that are 25 or older by label, with P(under 18) under 0.1 as they are, are degraded one way at a time:
as the tight crops that they are, and pasted into drawn scenes of 640 × 480. Harm is the share of all these faces that
then have an estimate with P(under 18) of 0.5 or more. Bounds of the checks were set on split `valid` alone; split
`test` judges them. The file is written after each degradation, so a run that is cut short keeps what it measured.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from models.evaluation.evaluate_age_resnet50 import UTKFACE_CODES
from models.evaluation.measure_face_finding import jpeg
from models.faces.face_labels import read_face_labels
from models.faces.face_scenes import draw_scene
from models.serving.age_estimator import ESTIMATED, AgeEstimate, AgeEstimator
from models.serving.model_versions import MODEL_VERSIONS
from models.serving.photo_preprocessing import Pixels, decode_photo
from tests.benchmarks.photo_degradations import Degradation, degradations

YOUNGEST_ADULT_YEARS = 25
SURELY_ADULT_PROBABILITY, HARMFUL_PROBABILITY = 0.1, 0.5
LEGAL_AGE_YEARS = 18
SCENE_SIZE = (640, 480)
SCENE_COUNT = 40
FACE_SIDES_PIXELS = (100, 260)
SEED = 2026
CHUNK_PHOTOS = 256
GROUP_LABELS = ("gender", "race")
FEWEST_IN_A_GROUP = 100


@dataclass(frozen=True)
class Photo:
    """A photo of one labelled face, and the size of the face in it."""

    pixels: Pixels
    face_side: int


Place = Callable[[Pixels, int], Photo]
"""(crop, number of the face) ► photo."""


def as_crop(crop: Pixels, _: int) -> Photo:
    """Return the tight crop unchanged."""
    return Photo(crop, min(crop.shape[:2]))


def in_scene(crop: Pixels, number: int) -> Photo:
    """Paste the crop at a random place of a drawn scene of 640 × 480. Equal numbers give equal photos."""
    random = np.random.default_rng([SEED, number])
    side = int(random.integers(*FACE_SIDES_PIXELS))
    left, top = (int(random.integers(length - side)) for length in SCENE_SIZE)
    scene = _scene(number % SCENE_COUNT).copy()
    scene[top : top + side, left : left + side] = np.asarray(Image.fromarray(crop).resize((side, side)))
    return Photo(scene, side)


PLACES: dict[str, Place] = {"crop": as_crop, "scene": in_scene}


@cache
def _scene(number: int) -> Pixels:
    wide = Image.fromarray(draw_scene(np.random.default_rng([SEED, 0, number])))
    height = wide.height
    return np.asarray(wide.resize(SCENE_SIZE, box=(0, 0, height * 4 / 3, height)))


class Measurement:
    """Faces of a split, and the estimator's results on them, sound and degraded."""

    def __init__(self, estimator: AgeEstimator, faces: pd.DataFrame, images: Path) -> None:
        """`faces` come from `read_face_labels`; `images` is the folder of their photos."""
        self._estimator = estimator
        self._faces = faces.reset_index(drop=True)
        self._images = images
        self._threads = ThreadPoolExecutor(os.cpu_count())

    def sound(self, place: Place) -> tuple[dict[str, Any], list[int]]:
        """Return the figures of all faces without degradation, and the numbers of those that are surely adults."""
        ages = self._faces["real_age"].to_numpy("float64")
        estimates = self._estimates(range(len(self._faces)), place, None)
        is_lost = np.array([estimate.estimate_status != ESTIMATED for estimate in estimates])
        errors = [
            abs(estimate.estimated_age_years - age)
            for estimate, age in zip(estimates, ages, strict=True)
            if estimate.estimated_age_years is not None
        ]
        adults = [
            number
            for number, estimate in enumerate(estimates)
            if ages[number] >= YOUNGEST_ADULT_YEARS and 0 <= _under_18(estimate) < SURELY_ADULT_PROBABILITY
        ]
        figures = {
            "lost": _share(is_lost),
            "lost_by_group": self._by_group(is_lost),
            "statuses": _statuses(estimates),
            "mae": float(np.mean(errors)),
            "adult_count": len(adults),
        }
        return figures, adults

    def degraded(self, place: Place, adults: Sequence[int], degradation: Degradation) -> dict[str, Any]:
        """Return the harm of a degradation to adults, and the statuses of their photos."""
        estimates = self._estimates(adults, place, degradation)
        is_harmed = np.array([_under_18(estimate) >= HARMFUL_PROBABILITY for estimate in estimates])
        return {"harm": _share(is_harmed), "statuses": _statuses(estimates)}

    def _by_group(self, is_lost: np.ndarray) -> dict[str, Any]:
        shares = {}
        for label in GROUP_LABELS:
            codes = self._faces[label].astype(str)
            for code in sorted(codes.unique()):
                rows = (codes == code).to_numpy()
                if rows.sum() >= FEWEST_IN_A_GROUP:
                    shares[f"{label} {UTKFACE_CODES[label].get(code, code)}"] = _share(is_lost[rows])
        return shares

    def _estimates(self, numbers: Sequence[int], place: Place, degradation: Degradation | None) -> list[AgeEstimate]:
        def face(number: int) -> Any:
            content = (self._images / self._faces["file_name"].iloc[number]).read_bytes()
            photo = place(decode_photo(content, 1_000), number)
            pixels = degradation.apply(photo.pixels, photo.face_side) if degradation else photo.pixels
            return self._estimator.try_read_face(jpeg(pixels))

        estimates: list[AgeEstimate] = []
        for first in range(0, len(numbers), CHUNK_PHOTOS):
            faces = list(self._threads.map(face, numbers[first : first + CHUNK_PHOTOS]))
            estimates += self._estimator.estimate_faces(faces)
        return estimates


def _under_18(estimate: AgeEstimate) -> float:
    """Return P(under 18), or -1 for a photo without an estimate."""
    return sum(estimate.age_distribution[:LEGAL_AGE_YEARS]) if estimate.age_distribution else -1.0


def _statuses(estimates: Sequence[AgeEstimate]) -> dict[str, int]:
    return dict(Counter(str(estimate.estimate_status) for estimate in estimates).most_common())


def _share(is_so: np.ndarray) -> dict[str, Any]:
    """Return a share with its 95 % interval (Wilson 1927)."""
    count, total = int(is_so.sum()), len(is_so)
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    return {"share": count / total, "interval_95": [interval.low, interval.high], "count": count, "of": total}


def _tables(measured: dict[str, Any]) -> Iterator[Table]:
    lost = Table("sound faces without an estimate", *PLACES)
    rows = {"all": [measured[name]["sound"]["lost"] for name in PLACES]}
    rows |= {
        group: [measured[name]["sound"]["lost_by_group"][group] for name in PLACES]
        for group in measured["crop"]["sound"]["lost_by_group"]
    }
    for group, shares in rows.items():
        lost.add_row(group, *map(_in_words, shares))
    lost.add_row("MAE, years", *(f"{measured[name]['sound']['mae']:.2f}" for name in PLACES))
    yield lost
    harm = Table("harm by degradation", *(f"{name}, of {measured[name]['sound']['adult_count']}" for name in PLACES))
    for title in measured["crop"]["degraded"]:
        harm.add_row(title, *(_in_words(measured[name]["degraded"][title]["harm"]) for name in PLACES))
    yield harm


def _in_words(share: dict[str, Any]) -> str:
    return "{:.1%} ({:.1%}–{:.1%})".format(share["share"], *share["interval_95"])


def main() -> None:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name,real_age,split,gender,race")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--split", default="test", choices=["train", "valid", "test"])
    parser.add_argument("--faces", type=int, help="only so many faces of the split, for a quick look")
    parser.add_argument("--version", default=MODEL_VERSIONS[-1], choices=MODEL_VERSIONS)
    parser.add_argument("--out", type=Path, default=Path(".demo/degraded_photos.json"))
    arguments = parser.parse_args()
    labelled = read_face_labels(arguments.labels, arguments.images)
    faces = labelled[(labelled["split"] == arguments.split) & (labelled["age_conflict"] == 0)]
    measurement = Measurement(
        AgeEstimator.load(arguments.version),
        faces.sample(frac=1, random_state=SEED).head(arguments.faces or len(faces)),
        arguments.images,
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    measured: dict[str, Any] = {"split": arguments.split, "model_version": arguments.version}
    for name, place in PLACES.items():
        sound, adults = measurement.sound(place)
        measured[name] = {"sound": sound, "degraded": {}}
        for degradation in track(degradations(), f"degraded, {name}"):
            measured[name]["degraded"][degradation.title] = measurement.degraded(place, adults, degradation)
            arguments.out.write_text(json.dumps(measured, indent=1) + "\n")
    Console().print(*_tables(measured), f"written to {arguments.out}")


if __name__ == "__main__":
    main()
