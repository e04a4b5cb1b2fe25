"""evaluate_age_resnet50: measure a version's errors on labelled photos, by groups of people, and its calibration.

    checkout-ages evaluate --labels labels.csv --images DIR --out DIR

Photos pass through the same steps as in the nightly job: decoding, weights and calibration of a version. Nothing is
fitted or chosen here, so that split `test` stays a test. OUT gets metrics.json, predictions.csv (one row per listed
photo, numbers only, also for photos without an estimate) and index.html, which shows photos.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from models.evaluation.age_metrics import (
    RELIABILITY_AGES_YEARS,
    Figures,
    JudgedAges,
    challenge_figures,
    confusion,
    figures_by,
    metrics,
    named_rows,
    quantile_bin_rows,
    reliability,
)
from models.evaluation.bootstrap import GroupBootstrap
from models.evaluation.compare_versions import compare_with_baseline, comparison_sentence, read_baseline
from models.evaluation.evaluation import Evaluation
from models.serving.age_distribution import probability_under
from models.serving.age_estimator import ESTIMATED, AgeEstimator, Engine
from models.serving.model_versions import MODEL_VERSIONS
from models.training.photo_traits import PhotoTraits
from models.training.predictions import check_usable, faces_of_split, predicted
from models.training.trained_version import load_trained_version

UTKFACE_CODES = {
    "gender": {"0": "male", "1": "female"},
    "race": {"0": "white", "1": "black", "2": "asian", "3": "indian", "4": "other"},
}
"""Meanings of the codes in UTKFace's file names; other labels are used as they are written."""

TRAITS = {"face_side_pixels": (4, 0), "sharpness": (4, 3), "brightness": (4, 0), "disagreement_years": (5, 1)}
"""Traits by which errors are grouped ► number of equally filled bins, and digits of their names."""

PREDICTION_COLUMNS = [
    "file_name",
    "group",
    "age_conflict",
    "real_age",
    "estimate_status",
    "estimate_reason",
    "estimated_age_years",
    "age_interval_low_years",
    "age_interval_high_years",
    *(f"under_{age}_probability" for age in RELIABILITY_AGES_YEARS),
    *PhotoTraits.__annotations__,
    "disagreement_years",
]


def evaluate_version(
    version: str | None,
    faces: pd.DataFrame,
    images: Path,
    out: Path,
    split: str,
    baselines: Sequence[Path] = (),
    engine: Engine = "openvino",
) -> Figures:
    """Evaluate a version (None: the newest), and write metrics.json, predictions.csv and index.html into `out`.

    `version` is that of `load_trained_version`, each baseline that of `compare_with_baseline`. Raises ModelInputError
    or WeightsError if one of them or `split` is wrong, before any photo is read.
    """
    from models.evaluation.evaluation_page import write_evaluation_page

    chosen = faces_of_split(faces, split)
    # Now, because a wrong baseline should not fail after minutes of inference.
    for baseline in baselines:
        read_baseline(baseline)
    evaluation = evaluate(load_trained_version(version or MODEL_VERSIONS[-1], engine), chosen, images)
    # The headline figure comes first in metrics.json.
    figures = {
        "mae": evaluation.metrics["mae"],
        "split": split,
        "inference_engine": engine,
        **evaluation.metrics,
    }
    figures["baselines"] = [compare_with_baseline(evaluation.predictions, baseline) for baseline in baselines]
    evaluation = replace(evaluation, metrics=figures)
    write_evaluation(evaluation, out)
    write_evaluation_page(evaluation, images, out)
    return figures


def evaluate(estimator: AgeEstimator, faces: pd.DataFrame, images: Path) -> Evaluation:
    """Estimate the photos of `faces` and measure the errors. The main figures leave out rows with an age conflict.

    `with_mirroring` shows what a version without mirroring would gain from it, at double the cost: the distributions of
    a photo and its mirror image are averaged. `without_correction` shows what a version's correction for young adults
    costs: the estimates are the plain means of the distributions.
    A photo without an estimate has its status and reason in `predictions`; only the counts include it.
    Raises ModelInputError when no photo has an estimate, or when all have an age conflict.
    """
    predictions, plain, mirrored = predicted(estimator, faces, images)
    estimated = predictions[predictions["estimate_status"] == ESTIMATED]
    check_usable(estimated, predictions, images)
    ages = estimated["real_age"].to_numpy("int64")
    fitted = (estimator.manifest.interval_mass, estimator.manifest.young_adult_correction)
    every, both = (JudgedAges.of(each, ages, *fitted) for each in (plain, (plain + mirrored) / 2))
    agreed = estimated["age_conflict"].to_numpy() == 0
    bootstrap = GroupBootstrap(estimated["group"].to_numpy("str")[agreed])
    figures = {
        **metrics(every.rows(agreed), bootstrap),
        "model_version": estimator.version,
        "image_size": estimator.manifest.image_size,
        "photos": _photo_counts(predictions),
        **_figures_for_whom(every.rows(agreed), estimated[agreed], bootstrap),
        "with_conflicting_labels": metrics(every, GroupBootstrap(estimated["group"].to_numpy("str"))),
    }
    if not estimator.manifest.mirrored:
        figures["with_mirroring"] = metrics(both.rows(agreed), bootstrap)
    if estimator.manifest.young_adult_correction:
        uncorrected = JudgedAges.of(plain, ages, estimator.manifest.interval_mass)
        figures["without_correction"] = metrics(uncorrected.rows(agreed), bootstrap)
    _note_estimates(predictions, every)
    return Evaluation(figures, predictions, every.rows(agreed))


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write metrics.json and predictions.csv of an evaluation into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(evaluation.metrics, indent=1) + "\n")
    # Nullable integers: photos without a face have no count, and as floats all others would be written as 1.0000.
    predictions = evaluation.predictions[PREDICTION_COLUMNS].astype(
        {"face_count": "Int64", "face_side_pixels": "Int64"}
    )
    predictions.to_csv(out / "predictions.csv", index=False, float_format="%.4f")


def _figures_for_whom(judged: JudgedAges, rows: pd.DataFrame, bootstrap: GroupBootstrap) -> Figures:
    figures: Figures = {
        f"by_{label}": figures_by(label, judged, named_rows(_label_names(rows, label)), bootstrap)
        for label in UTKFACE_CODES
        if label in rows.columns
    }
    for trait, (count, digits) in TRAITS.items():
        bins = quantile_bin_rows(rows[trait].to_numpy("float64"), count, digits)
        figures[f"by_{trait}"] = figures_by(trait, judged, bins, bootstrap)
    figures["confusion"] = confusion(judged)
    figures["reliability"] = {f"under_{age}": reliability(judged, age, bootstrap) for age in RELIABILITY_AGES_YEARS}
    figures["challenge_25"] = challenge_figures(judged, bootstrap)
    return figures


def _label_names(rows: pd.DataFrame, label: str) -> list[str | None]:
    """Return readable names, None for a missing label. A CSV may give a code as 1, 1.0 or '1'."""
    written = [None if pd.isna(value) else str(value).removesuffix(".0").lower() for value in rows[label]]
    return [UTKFACE_CODES[label].get(name, name) if name else None for name in written]


def _photo_counts(predictions: pd.DataFrame) -> Figures:
    statuses = predictions["estimate_status"].value_counts()
    return {
        "listed_count": len(predictions),
        "estimated_count": int(statuses.get(ESTIMATED, 0)),
        "without_estimate": {str(status): int(count) for status, count in statuses.items() if status != ESTIMATED},
    }


def _note_estimates(predictions: pd.DataFrame, judged: JudgedAges) -> None:
    """Add the estimates to the rows that have one. Other rows stay empty."""
    columns: dict[str, NDArray[np.float64]] = {
        "estimated_age_years": judged.estimated,
        "age_interval_low_years": judged.low,
        "age_interval_high_years": judged.high,
        **{f"under_{age}_probability": probability_under(judged.distribution, age) for age in RELIABILITY_AGES_YEARS},
    }
    is_estimated = predictions["estimate_status"] == ESTIMATED
    for name, values in columns.items():
        predictions.loc[is_estimated, name] = values


def terminal_tables(figures: Figures) -> Iterator[Table | str]:
    """Yield tables of the most important results for the terminal: the main figures, and the errors by true age."""
    kinds = {"without conflicts": figures, "all rows": figures["with_conflicting_labels"]}
    if "with_mirroring" in figures:
        kinds["mirrored too"] = figures["with_mirroring"]
    if "without_correction" in figures:
        kinds["means, uncorrected"] = figures["without_correction"]
    table = Table("rows", "photos", "MAE", "95 %", "bias", "within 5", "coverage", "width", "ECE under 18")
    for name, row in kinds.items():
        table.add_row(name, *_cells(row), f"{row['under_18_calibration_error']:.3f}")
    yield table
    bands = Table("true age", "photos", "MAE", "95 %", "bias", "within 5", "coverage", "width")
    for row in figures["by_age_band"]:
        bands.add_row(row["age_band"], *_cells(row))
    yield bands
    yield from map(comparison_sentence, figures["baselines"])
    for status, count in figures["photos"]["without_estimate"].items():
        yield f"no estimate for {count} of {figures['photos']['listed_count']} photos: {status}"


def _cells(row: Figures) -> list[str]:
    return [
        str(row["photo_count"]),
        f"{row['mae']:.2f}",
        "{:.2f}–{:.2f}".format(*row["mae_interval_95"]),
        f"{row['bias']:+.2f}",
        f"{row['within_5_years_share']:.1%}",
        f"{row['interval_coverage']:.1%}",
        f"{row['interval_width_years']:.1f}",
    ]
