"""train_synthetic_faces: fit the synthetic face model to the training photos, and measure that it shows none of them.

Writes synthetic_faces-2.npz, and next to it synthetic_faces-2.json with two measurements. The first compares how near
samples come to training photos with how near unrelated photos (of `valid`) come to them. The second needs
--model-version: how well the age network's estimates on samples follow the ages that were asked for. It needs 6 GB of
memory and some minutes.

    python -m models.faces.train_synthetic_faces --labels labels.csv --images DIR --out DIR

with `--model-version age_resnet50-4` to judge them too.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from models.faces.face_labels import read_face_labels
from models.faces.synthetic_faces import LOOK_RANGE, SIDE_PIXELS, Arrays, SyntheticFaces
from models.serving.photo_preprocessing import decode_photo, to_network_input

NAME = "synthetic_faces-2"
TERMS = (
    "Fitted to the training photos of UTKFace: for non-commercial research only, as those photos, which belong to "
    "their owners. Samples show no real person."
)
SEED = 2026

YOUNGEST_YEARS, OLDEST_YEARS = 13, 85
REFERENCE_YEARS = 28
AGE_BANDWIDTH_YEARS = 4.0
AGEING_COMPONENTS = 6
AGEING_GAIN = 5.5
"""Ageing is drawn this many times as strong: averaging many faces washes it out."""

LOOK_COMPONENTS = 56
LIGHT_COMPONENTS = 3
LIGHT_SIZE, SETTING_SIZE, FACE_SIZE = 0.7, 2.5, 1.4
"""Distance of looks from their mean, in standard deviations. It is small for the strongest few, the light, which would
turn pixels black or white; large for hair, clothes and background; medium for the face itself, which shows the age."""
SETTING_FACE_SHARE = 0.35
"""A look with a smaller share of its energy in the oval of the face belongs to the setting."""
FACE_CENTRE, FACE_RADII = (0.54, 0.50), (0.43, 0.34)
"""Row and column of the oval of the face, as shares of the side."""
OVERSAMPLING = 32
POWER_ITERATIONS = 2

MEASURED_SAMPLES = 10_000
ESTIMATED_SAMPLES = 1_000
SHOPPER_AGE_SHARES = {
    (13, 17): 0.04,
    (18, 24): 0.12,
    (25, 34): 0.20,
    (35, 44): 0.19,
    (45, 54): 0.17,
    (55, 64): 0.14,
    (65, 85): 0.14,
}
"""Ages of the measured samples: first and last year of a band, and its share."""
PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
CHUNK = 500

Faces = NDArray[np.uint8]
"""(n, p) flattened faces."""
Vectors = NDArray[np.float32]


def read_faces(faces: pd.DataFrame, images: Path) -> Faces:
    """Read photos in the form that the age network gets, flattened to (n, p) numbers."""
    photos = ((images / name).read_bytes() for name in faces["file_name"])
    return np.stack([to_network_input(decode_photo(photo, SIDE_PIXELS), SIDE_PIXELS).ravel() for photo in photos])


def fit(faces: Faces, ages_years: NDArray[np.integer], random: Generator) -> Arrays:
    """Fit the model to (n, p) faces; return the arrays for `SyntheticFaces.unpack`."""
    mean_faces = mean_face_by_age(faces, ages_years)
    reference = mean_faces[REFERENCE_YEARS]
    ageing = (mean_faces[YOUNGEST_YEARS : OLDEST_YEARS + 1] - reference) * AGEING_GAIN
    left, strength, directions = np.linalg.svd(ageing, full_matrices=False)
    # Photos of older people have no mean face of their own age: use the oldest one.
    looks, spread = principal_components(faces, mean_faces[np.minimum(ages_years, OLDEST_YEARS)], random)
    packed_ageing, ageing_scale = _packed(directions[:AGEING_COMPONENTS])
    packed_looks, looks_scale = _packed(looks * (spread * look_sizes(looks))[:, None])
    return {
        "reference": reference.astype(np.float16),
        "ageing": packed_ageing,
        "ageing_scale": ageing_scale,
        "ageing_scores": (left * strength)[:, :AGEING_COMPONENTS].astype(np.float32),
        "looks": packed_looks,
        "looks_scale": looks_scale,
        "youngest_years": np.array(YOUNGEST_YEARS),
    }


def mean_face_by_age(faces: Faces, ages_years: NDArray[np.integer]) -> Vectors:
    """Return the (86, p) mean face of each age from 0, smoothed over neighbouring ages by a Gaussian kernel."""
    years = np.arange(OLDEST_YEARS + 1)
    known_years, rows = np.unique(ages_years, return_inverse=True)
    means = np.stack([faces[rows == row].mean(axis=0, dtype=np.float32) for row in range(len(known_years))])
    # Ages with more photos count more, so that a mean of few photos does not dominate its neighbours.
    kernel = np.exp(-0.5 * ((years[:, None] - known_years) / AGE_BANDWIDTH_YEARS) ** 2) * np.bincount(rows)
    mean_faces: Vectors = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32) @ means
    return mean_faces


def principal_components(faces: Faces, mean_faces: Vectors, random: Generator) -> tuple[Vectors, Vectors]:
    """Return the (m, p) strongest components of faces minus the mean of their age, and their standard deviations.

    Source: Halko, Martinsson & Tropp 2011, "Finding Structure with Randomness".
    """
    residuals = faces - mean_faces
    # Randomised: an exact decomposition of thousands of photos with 37,632 numbers each needs too much memory.
    probes = random.standard_normal((len(faces), LOOK_COMPONENTS + OVERSAMPLING), dtype=np.float32)
    basis = np.linalg.qr(residuals.T @ probes)[0]
    for _ in range(POWER_ITERATIONS):  # each one turns the random basis further towards the strong components
        basis = np.linalg.qr(residuals.T @ (residuals @ basis))[0]
    _, strength, mixing = np.linalg.svd(residuals @ basis, full_matrices=False)
    components = (basis @ mixing.T).T[:LOOK_COMPONENTS]
    return components, strength[:LOOK_COMPONENTS] / np.sqrt(np.float32(len(faces)))


def look_sizes(looks: Vectors) -> Vectors:
    """Return the distance from the mean, in standard deviations, at which each of (m, p) looks is drawn."""
    in_face = (looks[:, face_oval()] ** 2).sum(axis=1) / (looks**2).sum(axis=1)
    sizes = np.where(in_face < SETTING_FACE_SHARE, SETTING_SIZE, FACE_SIZE)
    sizes[:LIGHT_COMPONENTS] = LIGHT_SIZE
    return sizes.astype(np.float32)


def face_oval() -> NDArray[np.bool_]:
    """Return a mask of the (p,) pixel values that are in the face, and not in hair, clothes or background."""
    row, column = (np.mgrid[:SIDE_PIXELS, :SIDE_PIXELS] + 0.5) / SIDE_PIXELS
    distance = ((row - FACE_CENTRE[0]) / FACE_RADII[0]) ** 2 + ((column - FACE_CENTRE[1]) / FACE_RADII[1]) ** 2
    return np.repeat((distance < 1).ravel(), 3)


class TrainingPhotos:
    """Training photos, prepared for the search of the photo that is nearest to a face."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces
        self._centre = faces.mean(axis=0, dtype=np.float32)
        self._centred = faces - self._centre
        self._squares = np.einsum("ij,ij->i", self._centred, self._centred)

    def nearest(self, faces: Faces) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (n,) distances and (n,) likenesses of (n, p) faces to the nearest training photo.

        Distance is Euclidean, in RGB values. Likeness is the highest cosine with a photo, after the mean face is
        subtracted from both. It is 1 also for a stronger or weaker copy of a photo, so caricatures are detected.
        """
        chunks = [self._nearest(faces[at : at + CHUNK]) for at in range(0, len(faces), CHUNK)]
        rows, likeness = (np.concatenate(part) for part in zip(*chunks, strict=True))
        distance = [
            np.linalg.norm(face.astype(float) - self._faces[row]) for face, row in zip(faces, rows, strict=True)
        ]
        return np.array(distance), likeness

    def _nearest(self, faces: Faces) -> tuple[NDArray[np.intp], Vectors]:
        centred = faces - self._centre
        # |a - b|² = |a|² - 2ab + |b|²; |a|² is the same for all photos, so the nearest one is found without it.
        products = centred @ self._centred.T
        rows = np.argmin(self._squares - 2 * products, axis=1)
        likeness = (products / np.sqrt(self._squares)).max(axis=1) / np.linalg.norm(centred, axis=1)
        return rows, likeness


def shopper_ages_years(count: int, random: Generator) -> NDArray[np.integer]:
    """Draw ages with the shares of SHOPPER_AGE_SHARES."""
    first, last = np.array(list(SHOPPER_AGE_SHARES)).T
    bands = random.choice(len(first), count, p=list(SHOPPER_AGE_SHARES.values()))
    ages_years: NDArray[np.integer] = random.integers(first[bands], last[bands] + 1)
    return ages_years


def measure_privacy(model: SyntheticFaces, training_faces: Faces, valid_faces: Faces) -> dict[str, Any]:
    """Compare how near samples and unrelated photos come to training photos, for the whole photo and for the face."""
    random = np.random.default_rng([SEED, 1])
    ages_years = shopper_ages_years(MEASURED_SAMPLES, random)
    samples = np.stack([model.sample(age_years, random).ravel() for age_years in ages_years])
    oval = face_oval()
    return {
        "sample_count": len(samples),
        "training_photo_count": len(training_faces),
        "valid_photo_count": len(valid_faces),
        "distance": f"Euclidean, to the nearest training photo, RGB values at {SIDE_PIXELS} × {SIDE_PIXELS}",
        "likeness": "highest cosine with a training photo, both less the mean training photo",
        "whole_photo": compare_nearness(samples, valid_faces, training_faces),
        "face_oval": compare_nearness(samples[:, oval], valid_faces[:, oval], training_faces[:, oval]),
    }


def compare_nearness(samples: Faces, valid_faces: Faces, training_faces: Faces) -> dict[str, Any]:
    """Return percentiles of distance and likeness to the nearest training photo, for samples and `valid` photos."""
    training_photos = TrainingPhotos(training_faces)
    sample_distance, sample_likeness = training_photos.nearest(samples)
    valid_distance, valid_likeness = training_photos.nearest(valid_faces)
    return {
        "samples_nearer_than_valid_median": int((sample_distance < np.median(valid_distance)).sum()),
        "sample_distance": _percentiles(sample_distance, 1),
        "valid_distance": _percentiles(valid_distance, 1),
        "sample_likeness": _percentiles(sample_likeness, 3),
        "valid_likeness": _percentiles(valid_likeness, 3),
    }


def measure_ages(model: SyntheticFaces, model_version: str) -> dict[str, Any]:
    """Compare the age network's estimates on samples with the ages that were asked for."""
    from models.serving.age_estimator import AgeEstimator

    random = np.random.default_rng([SEED, 2])
    ages_years = shopper_ages_years(ESTIMATED_SAMPLES, random)
    # PNG, because the loss of a JPEG would change the estimates.
    photos = [_png(model.sample(age_years, random)) for age_years in ages_years]
    estimates = AgeEstimator.load(model_version, threads=1).estimate(photos)
    estimated = pd.Series([estimate.estimated_age_years for estimate in estimates], dtype=float)
    bands = pd.cut(ages_years, [0, *(last for _, last in SHOPPER_AGE_SHARES)], labels=False)
    return {
        "model_version": model_version,
        "sample_count": len(photos),
        "correlation": round(float(np.corrcoef(ages_years, estimated)[0, 1]), 3),
        "mean_asked_by_band_years": pd.Series(ages_years).groupby(bands).mean().round(1).to_list(),
        "mean_estimated_by_band_years": estimated.groupby(bands).mean().round(1).to_list(),
    }


def _packed(components: Vectors) -> tuple[NDArray[np.int8], Vectors]:
    """Store each component as bytes, with the scale to restore it."""
    scale = np.abs(components).max(axis=1) / 127
    return (components / scale[:, None]).round().astype(np.int8), scale.astype(np.float32)


def _percentiles(values: NDArray[np.floating], digits: int) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(values, share)), digits) for share in PERCENTILES}


def _png(pixels: NDArray[np.uint8]) -> bytes:
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return png.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model-version", help="version of the age network to estimate the samples with")
    arguments = parser.parse_args()
    labels = read_face_labels(arguments.labels)
    agreed = labels[labels["age_conflict"] == 0]
    training, valid = (agreed[agreed["split"] == split] for split in ("train", "valid"))
    training_faces = read_faces(training, arguments.images)
    arrays = fit(training_faces, training["real_age"].to_numpy(dtype=int), np.random.default_rng(SEED))
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out / f"{NAME}.npz", allow_pickle=False, **arrays)
    model = SyntheticFaces.load(arguments.out / f"{NAME}.npz")
    report = {
        "name": NAME,
        "terms": TERMS,
        "seed": SEED,
        "components": {"ageing": len(model.ageing), "looks": len(model.looks)},
        "side_pixels": SIDE_PIXELS,
        "ages_years": [model.youngest_years, model.oldest_years],
        "ageing_gain": AGEING_GAIN,
        "looks_drawn_at_standard_deviations": {"light": LIGHT_SIZE, "setting": SETTING_SIZE, "face": FACE_SIZE},
        "looks_drawn_within": LOOK_RANGE,
        "privacy": measure_privacy(model, training_faces, read_faces(valid, arguments.images)),
    }
    if arguments.model_version:
        report["ages"] = measure_ages(model, arguments.model_version)
    (arguments.out / f"{NAME}.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
