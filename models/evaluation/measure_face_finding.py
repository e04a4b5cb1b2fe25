"""measure_face_finding: measure how many faces are found in whole scenes, and how much the estimates suffer from it.

    python -m models.evaluation.measure_face_finding --labels labels.csv --images DIR --wild DIR --out face_finding.json

Faces of split `test` are pasted into drawn scenes of a shop, and estimated as a night would: once in the scene and once
as the crop alone. Photos in `--wild` are real scenes as cameras took them. Nothing is fitted or chosen here.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.faces.face_labels import read_face_labels
from models.faces.face_scenes import draw_scene, paste_face
from models.faces.synthetic_faces import SIDE_PIXELS, SyntheticFaces
from models.serving.age_distribution import corrected_age_years
from models.serving.age_estimator import ESTIMATED, AgeEstimator
from models.serving.face_crop import cut_square, middle_square
from models.serving.face_finding import FaceFinder
from models.serving.face_photo import FacePhoto
from models.serving.model_versions import MODEL_VERSIONS, weights_path
from models.serving.photo_preprocessing import Pixels, UnusablePhotoError

SIDES_PIXELS = (60, 400)
SIDE_BANDS_PIXELS = (60, 100, 200, 401)
SEED = 2026
SYNTHETIC_FACES_VERSION = "synthetic_faces-2"
SYNTHETIC_FACE_COUNT = 200
PHOTO_SIDE_PIXELS = 200
TIMED_SCENES = 30


@dataclass(frozen=True)
class SceneMetrics:
    """Figures of faces in scenes. `mae` and `mae_as_crops` are about the faces that were estimated both ways."""

    face_count: int
    found_share: float
    """Share of faces that were found: the middle of the cut square is in the middle half of the pasted face."""
    estimated_share: float
    mae: float
    mae_as_crops: float
    statuses: dict[str, int]


def measure(
    estimator: AgeEstimator, faces: pd.DataFrame, images: Path, empty_count: int, progress: Callable[..., Any] = iter
) -> dict[str, Any]:
    """Measure face finding on labelled faces that are pasted into scenes, and on scenes without a face."""
    rows = pd.DataFrame([_in_scene(estimator, images, number, face) for number, face in progress(_numbered(faces))])
    bands = pd.cut(rows["side_pixels"], SIDE_BANDS_PIXELS, right=False)
    empty = [_look(estimator, jpeg(draw_scene(_random(2, number)))) for number in progress(range(empty_count))]
    return {
        **asdict(scene_metrics(rows)),
        "by_side_pixels": {
            f"{band.left}-{band.right - 1}": asdict(scene_metrics(group))
            for band, group in rows.groupby(bands, observed=True)
        },
        "faceless_scene_count": empty_count,
        "faceless_scenes_with_a_face_share": _share(isinstance(look, FacePhoto) for look in empty),
    }


def scene_metrics(rows: pd.DataFrame) -> SceneMetrics:
    """Summarise rows of is_found, estimate_status, error_years and error_as_crop_years."""
    both = rows.dropna(subset=["error_years", "error_as_crop_years"])
    return SceneMetrics(
        face_count=len(rows),
        found_share=float(rows["is_found"].mean()),
        estimated_share=float((rows["estimate_status"] == ESTIMATED).mean()),
        mae=float(both["error_years"].abs().mean()),
        mae_as_crops=float(both["error_as_crop_years"].abs().mean()),
        statuses=dict(Counter(rows["estimate_status"])),
    )


def crop_statuses(estimator: AgeEstimator, photos: Iterable[bytes]) -> dict[str, int]:
    """Count the statuses of photos that are tight crops."""
    return dict(Counter(_status(_look(estimator, photo)) for photo in photos))


def milliseconds_per_photo(finder: FaceFinder) -> float:
    """Return the milliseconds that the finder needs to search a scene, without decoding."""
    scenes = [draw_scene(_random(3, number)) for number in range(TIMED_SCENES)]
    finder.find(scenes[0])  # the first search of a shape compiles the network
    started = time.perf_counter()
    for scene in scenes:
        finder.find(scene)
    return (time.perf_counter() - started) / TIMED_SCENES * 1000


def jpeg(pixels: Pixels) -> bytes:
    """Return pixels as the bytes of a JPEG, as a camera stores them."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _in_scene(estimator: AgeEstimator, images: Path, number: int, labelled: tuple[str, float]) -> dict[str, Any]:
    file_name, age = labelled
    crop = (images / file_name).read_bytes()
    random = _random(1, number)
    side = int(random.integers(SIDES_PIXELS[0], SIDES_PIXELS[1] + 1))
    with Image.open(io.BytesIO(crop)) as face:
        photo, (left, top) = paste_face(draw_scene(random), np.asarray(face.convert("RGB")), side, random)
    look = _look(estimator, jpeg(photo))
    return {
        "side_pixels": side,
        "estimate_status": _status(look),
        "is_found": isinstance(look, FacePhoto) and _is_there(look, left, top, side, min(photo.shape[:2])),
        "error_years": _error(estimator, look, age),
        "error_as_crop_years": _error(estimator, _look(estimator, crop), age),
    }


def _is_there(look: FacePhoto, left: int, top: int, side: int, shorter: int) -> bool:
    x = (look.square.left + look.square.side / 2) * shorter
    y = (look.square.top + look.square.side / 2) * shorter
    return max(abs(x - left - side / 2), abs(y - top - side / 2)) <= side / 4


def _look(estimator: AgeEstimator, photo: bytes) -> FacePhoto | UnusablePhotoError:
    try:
        return estimator.read_face(photo)
    except UnusablePhotoError as unusable:
        return unusable


def _status(look: FacePhoto | UnusablePhotoError) -> str:
    return ESTIMATED if isinstance(look, FacePhoto) else look.status


def _error(estimator: AgeEstimator, look: FacePhoto | UnusablePhotoError, age: float) -> float:
    if not isinstance(look, FacePhoto):
        return float("nan")
    distribution = estimator.estimate_pixels(look.pixels[None])
    return float(corrected_age_years(distribution, estimator.manifest.young_adult_correction)[0] - age)


def _numbered(faces: pd.DataFrame) -> list[tuple[int, tuple[str, float]]]:
    return list(enumerate(zip(faces["file_name"], faces["real_age"], strict=True)))


def _random(purpose: int, number: int) -> np.random.Generator:
    # A generator for each photo, so that more photos of one kind leave the others as they are.
    return np.random.default_rng([SEED, purpose, number])


def _share(facts: Iterable[bool]) -> float:
    listed = list(facts)
    return sum(listed) / len(listed) if listed else float("nan")


def _synthetic_photos() -> Iterator[bytes]:
    faces = SyntheticFaces.load(weights_path(SYNTHETIC_FACES_VERSION))
    for number in range(SYNTHETIC_FACE_COUNT):
        random = _random(4, number)
        face = faces.sample(int(random.integers(faces.youngest_years, faces.oldest_years + 1)), random)
        yield jpeg(cut_square(face, middle_square(SIDE_PIXELS, SIDE_PIXELS), PHOTO_SIDE_PIXELS))


def _wild(estimator: AgeEstimator, folder: Path) -> dict[str, Any]:
    photos = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    estimates = zip(photos, estimator.estimate(list(photos.values())), strict=True)
    shown = ("estimate_status", "face_count", "face_side_pixels", "estimated_age_years")
    return {name: {field: getattr(estimate, field) for field in shown} for name, estimate in estimates}


def _tables(measured: dict[str, Any]) -> Iterator[Table]:
    table = Table("faces in scenes", "faces", "found", "estimated", "MAE", "MAE as crops")
    for name, row in {"all": measured, **measured["by_side_pixels"]}.items():
        table.add_row(
            name if name == "all" else f"{name} px",
            str(row["face_count"]),
            f"{row['found_share']:.1%}",
            f"{row['estimated_share']:.1%}",
            f"{row['mae']:.2f}",
            f"{row['mae_as_crops']:.2f}",
        )
    yield table
    others = Table("what", "result")
    others.add_row("faceless scenes with a face", f"{measured['faceless_scenes_with_a_face_share']:.1%}")
    for name in ("synthetic_faces", "valid_crops"):
        others.add_row(name.replace("_", " "), str(measured[name]))
    for name, row in measured["wild"].items():
        others.add_row(name, f"{row['estimate_status']}, {row['face_count']} faces, {row['face_side_pixels']} px")
    others.add_row("milliseconds per photo", f"{measured['milliseconds_per_photo']:.1f}")
    yield others


def main() -> None:
    """Run the measurement with the options of the command line, and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name,real_age,split")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--wild", type=Path, required=True, help="folder of photos as a camera takes them")
    parser.add_argument("--split", default="test", choices=["train", "valid", "test"])
    parser.add_argument("--faces", type=int, default=1000, help="how many faces are pasted into scenes")
    parser.add_argument("--crops", type=int, default=2000, help="how many crops of split valid must pass")
    parser.add_argument("--faceless-scenes", type=int, default=500)
    parser.add_argument("--version", default=MODEL_VERSIONS[-1], choices=MODEL_VERSIONS)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    labelled = read_face_labels(arguments.labels, arguments.images)
    labelled = labelled[labelled["age_conflict"] == 0].sample(frac=1, random_state=SEED)
    faces = labelled[labelled["split"] == arguments.split].head(arguments.faces)
    crops = labelled.loc[labelled["split"] == "valid", "file_name"].head(arguments.crops)
    estimator = AgeEstimator.load(arguments.version, batch_size=1, threads=1)
    measured = {
        "split": arguments.split,
        **measure(estimator, faces, arguments.images, arguments.faceless_scenes, track),
        "synthetic_faces": crop_statuses(estimator, _synthetic_photos()),
        "valid_crops": crop_statuses(estimator, ((arguments.images / name).read_bytes() for name in crops)),
        "wild": _wild(estimator, arguments.wild),
        "milliseconds_per_photo": milliseconds_per_photo(FaceFinder.load(threads=1)),
    }
    arguments.out.write_text(json.dumps(measured, indent=1) + "\n")
    Console().print(*_tables(measured), f"written to {arguments.out}")


if __name__ == "__main__":
    main()
