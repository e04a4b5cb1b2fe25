"""calibrate_age_resnet50: fit to split `valid` what a model version needs beside its weights, and write its manifest.

A run's folder holds weights.npz and training.json and gets manifest.json. Of several image sizes the one with the
smallest error on `valid` is taken: faces in training are cropped and so larger than at inference (Touvron et al. 2019,
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

from models.age_distribution import (
    Floats,
    corrected_age_years,
    fit_interval_mass,
    fit_temperature,
    fit_young_adult_correction,
    probabilities,
)
from models.age_resnet50 import build_network, load_weights, read_weights, years_as_logits
from models.face_finding import FaceFinder
from models.face_labels import ages_years
from models.face_photo import read_face
from models.model_manifest import ModelManifest, TrainingFacts, write_manifest
from models.weights import file_sha256

BATCH_SIZE = 32


@dataclass(frozen=True)
class Calibration:
    """What was fitted at one image size, and how far off the estimates then are."""

    image_size: int
    temperature: float
    interval_mass: float | list[float]
    young_adult_correction: float
    mae_years: float


def calibrate_version(folder: Path, faces: pd.DataFrame, images: Path, image_sizes: Sequence[int]) -> ModelManifest:
    """Write the manifest of the run in `folder`, calibrated on the rows of split `valid`."""
    facts = TrainingFacts(**json.loads((folder / "training.json").read_text()))
    valid_faces = faces[faces["split"] == "valid"]
    network = build_network(facts.recipe["head"])
    load_weights(network, read_weights(folder / "weights.npz"))
    mirrored = bool(facts.recipe.get("mirrored"))
    calibrations = [_calibrate(network, valid_faces, images, image_size, mirrored) for image_size in image_sizes]
    for each in calibrations:
        print(f"{each.image_size} px: valid mae {each.mae_years:.2f}, temperature {each.temperature:.2f}", flush=True)
    best = min(calibrations, key=lambda calibration: calibration.mae_years)
    manifest = ModelManifest(
        *(best.image_size, best.temperature, best.interval_mass, facts, mirrored),
        *(best.young_adult_correction, file_sha256(folder / "weights.npz")),
    )
    write_manifest(manifest, folder / "manifest.json")
    return manifest


def predict_logits(
    network: keras.Model, faces: pd.DataFrame, images: Path, image_size: int, mirrored: bool
) -> NDArray[np.float32]:
    """Return (n, 101) logits, of the same pixels that inference sees, on any Keras backend.

    With `mirrored` they are the means of those of each photo and its mirror image.
    """
    file_names = list(faces["file_name"])
    batches = [file_names[at : at + BATCH_SIZE] for at in range(0, len(file_names), BATCH_SIZE)]
    pixels = (_pixels(images, batch, image_size) for batch in batches)
    outputs = [_output(network, batch, mirrored) for batch in pixels]
    return years_as_logits(np.concatenate(outputs).astype("float32"))


def _output(network: keras.Model, pixels: NDArray[np.float32], mirrored: bool) -> NDArray[np.float32]:
    output: NDArray[np.float32] = network.predict_on_batch(pixels)
    return (output + network.predict_on_batch(pixels[:, :, ::-1])) / 2 if mirrored else output


def _calibrate(network: keras.Model, faces: pd.DataFrame, images: Path, image_size: int, mirrored: bool) -> Calibration:
    ages = ages_years(faces)
    logits = predict_logits(network, faces, images, image_size, mirrored)
    if network.output_shape[1] == 1:  # one number says nothing about how sure it is
        return Calibration(image_size, 1.0, 1.0, 0.0, _mae_years(probabilities(logits), ages, 0.0))
    temperature = fit_temperature(logits, ages)
    distribution = probabilities(logits, temperature)
    masses = fit_interval_mass(distribution, ages).round(4).tolist()
    correction = round(fit_young_adult_correction(distribution, ages), 4)
    return Calibration(image_size, temperature, masses, correction, _mae_years(distribution, ages, correction))


def _mae_years(distribution: Floats, ages: NDArray[np.int64], young_adult_correction: float) -> float:
    return float(np.abs(corrected_age_years(distribution, young_adult_correction) - ages).mean())


def _pixels(images: Path, file_names: Sequence[str], image_size: int) -> NDArray[np.float32]:
    finder = FaceFinder.load()
    photos = [read_face((images / file_name).read_bytes(), finder, image_size) for file_name in file_names]
    return np.stack([photo.pixels for photo in photos]).astype("float32")
