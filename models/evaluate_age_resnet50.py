"""evaluate_age_resnet50: how far off a model version is on labelled faces, by age, and whether it knows how sure it is.

    python -m models.evaluate_age_resnet50 --labels labels.csv --images DIR --out metrics.json

Judges what a night would say: photo bytes in, the committed weights, calibration and preprocessing. Nothing is
fitted or chosen here, so that split `test` stays a test.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.age_distribution import Floats, age_interval_years, expected_age_years, probability_under
from models.age_estimator import AgeEstimator
from models.face_labels import read_face_labels
from models.weights import MODEL_VERSIONS

AGE_BANDS = {"0-17": (0, 17), "18-24": (18, 24), "25-34": (25, 34), "35-44": (35, 44), "45-54": (45, 54)}
AGE_BANDS |= {"55-64": (55, 64), "65+": (65, 200)}
LEGAL_AGE_YEARS = 18
BOOTSTRAP_SAMPLES = 2000
PROBABILITY_BINS = 10
CHUNK_PHOTOS = 256


@dataclass(frozen=True)
class BandMetrics:
    """Errors on the people of one band of true age."""

    age_band: str
    photo_count: int
    mae: float
    bias: float
    """Mean of estimated minus true age."""
    interval_coverage: float


@dataclass(frozen=True)
class Metrics:
    """Errors in years on a set of photos."""

    mae: float
    mae_interval_95: tuple[float, float]
    """Percentile bootstrap over photos."""
    photo_count: int
    bias: float
    within_5_years_share: float
    interval_coverage: float
    """Share of true ages inside the 90 % interval."""
    interval_width_years: float
    under_18_calibration_error: float
    by_age_band: list[BandMetrics]


def evaluate(estimator: AgeEstimator, faces: pd.DataFrame, images: Path) -> dict[str, Any]:
    """Return the metrics of rows without age conflict at the top, and those of all rows and with mirroring below.

    Mirroring averages the distributions of a photo and its mirror image, at double the cost.
    """
    plain, mirrored = _distributions(estimator, faces, images)
    ages = faces["real_age"].to_numpy("int64")
    agreed = faces["age_conflict"].to_numpy() == 0
    mass = estimator.manifest.interval_mass
    return {
        **asdict(metrics(plain[agreed], ages[agreed], mass)),
        "model_version": estimator.version,
        "image_size": estimator.manifest.image_size,
        "with_conflicting_labels": asdict(metrics(plain, ages, mass)),
        "with_mirroring": asdict(metrics((plain + mirrored)[agreed] / 2, ages[agreed], mass)),
    }


def metrics(distribution: Floats, ages: NDArray[np.int64], interval_mass: float) -> Metrics:
    """Compare (n, 101) distributions with (n,) true ages."""
    errors = expected_age_years(distribution) - ages
    low, high = age_interval_years(distribution, interval_mass)
    is_inside = (low <= ages) & (ages <= high)
    return Metrics(
        mae=float(np.abs(errors).mean()),
        mae_interval_95=_bootstrap_interval(np.abs(errors)),
        photo_count=len(ages),
        bias=float(errors.mean()),
        within_5_years_share=float((np.abs(errors) <= 5).mean()),
        interval_coverage=float(is_inside.mean()),
        interval_width_years=float((high - low).mean()),
        under_18_calibration_error=expected_calibration_error(
            probability_under(distribution, LEGAL_AGE_YEARS), ages < LEGAL_AGE_YEARS
        ),
        by_age_band=list(_by_age_band(errors, is_inside, ages)),
    )


def expected_calibration_error(probability: Floats, happened: NDArray[np.bool_]) -> float:
    """Return the mean gap between said and seen frequency over ten equal bins of probability, weighted by photos.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    bins = np.minimum((probability * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1)
    said = np.bincount(bins, weights=probability, minlength=PROBABILITY_BINS)
    seen = np.bincount(bins, weights=happened, minlength=PROBABILITY_BINS)
    return float(np.abs(said - seen).sum() / len(probability))


def _distributions(estimator: AgeEstimator, faces: pd.DataFrame, images: Path) -> tuple[Floats, Floats]:
    plain, mirrored = [], []
    for at in range(0, len(faces), CHUNK_PHOTOS):
        file_names = faces["file_name"].iloc[at : at + CHUNK_PHOTOS]
        pixels = np.stack([estimator.decode((images / file_name).read_bytes()) for file_name in file_names])
        plain.append(estimator.estimate_pixels(pixels))
        mirrored.append(estimator.estimate_pixels(pixels[:, :, ::-1]))
    return np.concatenate(plain), np.concatenate(mirrored)


def _bootstrap_interval(values: Floats) -> tuple[float, float]:
    random = np.random.default_rng(2026)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(BOOTSTRAP_SAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _by_age_band(errors: Floats, is_inside: NDArray[np.bool_], ages: NDArray[np.int64]) -> Iterator[BandMetrics]:
    for band, (youngest, oldest) in AGE_BANDS.items():
        rows = (ages >= youngest) & (ages <= oldest)
        if rows.any():
            yield BandMetrics(
                age_band=band,
                photo_count=int(rows.sum()),
                mae=float(np.abs(errors[rows]).mean()),
                bias=float(errors[rows].mean()),
                interval_coverage=float(is_inside[rows].mean()),
            )


def _tables(evaluation: dict[str, Any]) -> Iterator[Table]:
    kinds = {"without conflicts": evaluation, "all rows": evaluation["with_conflicting_labels"]}
    kinds["mirrored too"] = evaluation["with_mirroring"]
    table = Table("rows", "photos", "MAE", "95 %", "bias", "within 5", "coverage", "width", "ECE under 18")
    for name, row in kinds.items():
        table.add_row(
            name,
            str(row["photo_count"]),
            f"{row['mae']:.2f}",
            "{:.2f}-{:.2f}".format(*row["mae_interval_95"]),
            f"{row['bias']:+.2f}",
            f"{row['within_5_years_share']:.1%}",
            f"{row['interval_coverage']:.1%}",
            f"{row['interval_width_years']:.1f}",
            f"{row['under_18_calibration_error']:.3f}",
        )
    yield table
    bands = Table("true age", "photos", "MAE", "bias", "coverage")
    for row in evaluation["by_age_band"]:
        bands.add_row(
            row["age_band"],
            str(row["photo_count"]),
            f"{row['mae']:.2f}",
            f"{row['bias']:+.2f}",
            f"{row['interval_coverage']:.1%}",
        )
    yield bands


def main() -> None:
    """Evaluate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name,real_age[,split,age_conflict]")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--split", default="test", choices=["train", "valid", "test"])
    parser.add_argument("--version", default=MODEL_VERSIONS[-1], choices=MODEL_VERSIONS)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    faces = read_face_labels(arguments.labels)
    split_faces = faces[faces["split"] == arguments.split]
    evaluation = {
        "split": arguments.split,
        **evaluate(AgeEstimator.load(arguments.version), split_faces, arguments.images),
    }
    arguments.out.write_text(json.dumps({"mae": evaluation["mae"], **evaluation}, indent=1) + "\n")
    Console().print(*_tables(evaluation), f"written to {arguments.out}")


if __name__ == "__main__":
    main()
