"""calibrate_age_resnet50: fit to split `valid` what a model version needs beside its weights, and write its manifest.

    python -m models.calibrate_age_resnet50 --labels labels.csv --images DIR --version-folder DIR --image-size 112 128

DIR holds the weights.npz and training.json of a training and gets manifest.json. Of several image sizes the one
with the smallest error on `valid` is taken: faces in training are cropped and so larger than at inference
(Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.age_distribution import expected_age_years, fit_interval_mass, fit_temperature, probabilities
from models.age_resnet50 import build_age_resnet50, load_weights, read_weights
from models.face_labels import ages_years, read_face_labels
from models.model_manifest import ModelManifest, TrainingFacts, write_manifest
from models.photo_preprocessing import decode_photo, to_network_input

BATCH_SIZE = 32


@dataclass(frozen=True)
class Calibration:
    """What was fitted at one image size, and how far off the estimates then are."""

    image_size: int
    temperature: float
    interval_mass: float
    mae_years: float


def calibrate_version(folder: Path, faces: pd.DataFrame, images: Path, image_sizes: Sequence[int]) -> ModelManifest:
    """Write the manifest of the version in `folder`, calibrated on the rows of split `valid`."""
    valid_faces = faces[faces["split"] == "valid"]
    network = build_age_resnet50()
    load_weights(network, read_weights(folder / "weights.npz"))
    calibrations = [_calibrate(network, valid_faces, images, image_size) for image_size in image_sizes]
    for calibration in calibrations:
        print(calibration, flush=True)
    best = min(calibrations, key=lambda calibration: calibration.mae_years)
    facts = TrainingFacts(**json.loads((folder / "training.json").read_text()))
    manifest = ModelManifest(best.image_size, best.temperature, best.interval_mass, facts)
    write_manifest(manifest, folder / "manifest.json")
    return manifest


def predict_logits(network: keras.Model, faces: pd.DataFrame, images: Path, image_size: int) -> NDArray[np.float32]:
    """Return (n, 101) logits, of the same pixels that inference sees, on any Keras backend."""
    file_names = list(faces["file_name"])
    batches = [file_names[at : at + BATCH_SIZE] for at in range(0, len(file_names), BATCH_SIZE)]
    logits = [network.predict_on_batch(_pixels(images, batch, image_size)) for batch in batches]
    return np.concatenate(logits).astype("float32")


def _calibrate(network: keras.Model, faces: pd.DataFrame, images: Path, image_size: int) -> Calibration:
    ages = ages_years(faces)
    logits = predict_logits(network, faces, images, image_size)
    temperature = fit_temperature(logits, ages)
    distribution = probabilities(logits, temperature)
    return Calibration(
        image_size=image_size,
        temperature=temperature,
        interval_mass=fit_interval_mass(distribution, ages),
        mae_years=float(np.abs(expected_age_years(distribution) - ages).mean()),
    )


def _pixels(images: Path, file_names: Sequence[str], image_size: int) -> NDArray[np.float32]:
    photos = [decode_photo((images / file_name).read_bytes(), image_size) for file_name in file_names]
    return np.stack([to_network_input(photo, image_size) for photo in photos]).astype("float32")


def main() -> None:
    """Calibrate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name,real_age,split[,age_conflict]")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--version-folder", type=Path, required=True, help="folder with weights.npz and training.json")
    parser.add_argument("--image-size", type=int, nargs="+", required=True, help="sides in pixels to choose from")
    arguments = parser.parse_args()
    faces = read_face_labels(arguments.labels)
    calibrate_version(
        arguments.version_folder, faces[faces["age_conflict"] == 0], arguments.images, arguments.image_size
    )


if __name__ == "__main__":
    main()
