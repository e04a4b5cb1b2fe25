"""calibrate_age_resnet50: calibrate a model version on split `valid` and write its manifest.

A run's folder has weights.npz and training.json, and gets manifest.json. Of several image sizes the one with the
smallest error on `valid` is chosen: faces in training are cropped and so larger than at inference (Touvron et al. 2019,
"Fixing the train-test resolution discrepancy").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.faces.face_labels import ages_years
from models.serving.age_distribution import (
    YEARS_OF_AGE,
    Floats,
    corrected_age_years,
    fit_interval_mass,
    fit_pool,
    fit_temperature,
    fit_young_adult_correction,
    pooled,
    probabilities,
)
from models.serving.age_network import with_second_opinion
from models.serving.age_resnet50 import build_network, load_weights, read_weights, years_as_logits
from models.serving.model_manifest import ModelManifest, SecondOpinion, TrainingFacts, write_manifest
from models.serving.model_versions import SECOND_OPINION_HEAD, file_sha256
from models.training.face_pixels import network_pixels

BATCH_SIZE = 32


@dataclass(frozen=True)
class Calibration:
    """The calibration of a version at one image size, and the mean absolute error with it."""

    image_size: int
    second_share: float | None
    temperature: float
    interval_mass: float | list[float]
    young_adult_correction: float
    mae_years: float


def calibrate_version(folder: Path, faces: pd.DataFrame, images: Path, image_sizes: Sequence[int]) -> ModelManifest:
    """Calibrate the training in `folder` on split `valid`, and write its manifest."""
    facts = TrainingFacts(**json.loads((folder / "training.json").read_text()))
    valid_faces = faces[faces["split"] == "valid"]
    network = build_network(facts.recipe["head"])
    load_weights(network, read_weights(folder / "weights.npz"))
    side_pixels: int | None = facts.recipe.get("second_opinion_side_pixels")
    head = folder / SECOND_OPINION_HEAD
    if side_pixels:
        network = with_second_opinion(network, side_pixels, head)
    calibrations = [_calibrate(network, valid_faces, images, image_size) for image_size in image_sizes]
    for each in calibrations:
        print(f"{each.image_size} px: valid mae {each.mae_years:.2f}, temperature {each.temperature:.2f}", flush=True)
    best = min(calibrations, key=lambda calibration: calibration.mae_years)
    second = SecondOpinion(side_pixels, best.second_share or 0.0, file_sha256(head)) if side_pixels else None
    manifest = ModelManifest(
        image_size=best.image_size,
        temperature=best.temperature,
        interval_mass=best.interval_mass,
        training=facts,
        young_adult_correction=best.young_adult_correction,
        weights_sha256=file_sha256(folder / "weights.npz"),
        second_opinion=second,
    )
    write_manifest(manifest, folder / "manifest.json")
    return manifest


def predict_logits(network: keras.Model, faces: pd.DataFrame, images: Path, image_size: int) -> NDArray[np.float32]:
    """Run a network on photos, cut as at inference: return (n, 101) logits, or (n, 202) with a second opinion."""
    file_names = list(faces["file_name"])
    batches = [file_names[at : at + BATCH_SIZE] for at in range(0, len(file_names), BATCH_SIZE)]
    outputs = [network.predict_on_batch(network_pixels(images, batch, image_size)) for batch in batches]
    return years_as_logits(np.concatenate(outputs).astype("float32"))


def _calibrate(network: keras.Model, faces: pd.DataFrame, images: Path, image_size: int) -> Calibration:
    ages = ages_years(faces)
    logits = predict_logits(network, faces, images, image_size)
    if network.output_shape[1] == 1:  # a single number carries no uncertainty to calibrate
        return Calibration(image_size, None, 1.0, 1.0, 0.0, _mae_years(probabilities(logits), ages, 0.0))
    share, temperature, distribution = _fitted(logits, ages)
    masses = fit_interval_mass(distribution, ages).round(4).tolist()
    correction = round(fit_young_adult_correction(distribution, ages), 4)
    mae_years = _mae_years(distribution, ages, correction)
    return Calibration(image_size, share, temperature, masses, correction, mae_years)


def _fitted(logits: NDArray[np.float32], ages: NDArray[np.int64]) -> tuple[float | None, float, Floats]:
    """Return the share of the second opinion (None without one), the temperature, and the resulting distributions."""
    if logits.shape[1] == YEARS_OF_AGE:
        temperature = fit_temperature(logits, ages)
        return None, temperature, probabilities(logits, temperature)
    first, second = np.split(logits, 2, axis=1)
    share, temperature = fit_pool(first, second, ages)
    return share, temperature, pooled(first, second, share, temperature)


def _mae_years(distribution: Floats, ages: NDArray[np.int64], young_adult_correction: float) -> float:
    return float(np.abs(corrected_age_years(distribution, young_adult_correction) - ages).mean())
