"""trained_version: an estimator of a committed version, or of the folder that a training has written."""

from __future__ import annotations

import os
from pathlib import Path

from models.age_estimator import AgeEstimator
from models.age_resnet50 import build_network, load_weights, read_weights, years_as_logits
from models.errors import ModelInputError
from models.face_finding import FaceFinder
from models.model_manifest import ModelManifest, parse_manifest
from models.weights import MODEL_VERSIONS, file_sha256

BATCH_SIZE = 32


def load_trained_version(version: str) -> AgeEstimator:
    """Load a committed version by its name, or weights.npz and manifest.json from a folder.

    The pinned sums hold for committed versions; a folder is held to the sum in its own manifest, if that has one.
    Raises ModelInputError when it is neither or the folder is no training's, WeightsError when files were altered.
    """
    if version in MODEL_VERSIONS:
        return AgeEstimator.load(version)
    if not Path(version).is_dir():
        raise ModelInputError(
            f"weights '{version}' are neither a model version nor a folder: name one of {', '.join(MODEL_VERSIONS)}, "
            "or a folder with weights.npz and manifest.json"
        )
    return _load_folder(Path(version))


def _load_folder(folder: Path) -> AgeEstimator:
    manifest = _read_manifest(folder)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    network = build_network(manifest.training.recipe.get("head", "years"))
    if missing := load_weights(network, read_weights(folder / "weights.npz")):
        raise ModelInputError(
            f"weights file '{folder / 'weights.npz'}' lacks {len(missing)} arrays of the network, as '{missing[0]}': "
            "name the folder of a finished training"
        )
    return AgeEstimator(
        folder.resolve().name,
        manifest,
        lambda pixels: years_as_logits(network.predict_on_batch(pixels.astype("float32"))),
        FaceFinder.load(),
        BATCH_SIZE,
    )


def _read_manifest(folder: Path) -> ModelManifest:
    for name in ("weights.npz", "manifest.json"):
        if not (folder / name).is_file():
            raise ModelInputError(f"folder '{folder}' has no {name}: name the folder of a finished training")
    try:
        manifest = parse_manifest(folder / "manifest.json")
    except (ValueError, TypeError, KeyError) as error:
        raise ModelInputError(
            f"manifest '{folder / 'manifest.json'}' cannot be read: {error!r}; write it anew by training"
        ) from error
    found = file_sha256(folder / "weights.npz")
    if manifest.weights_sha256 not in (None, found):
        raise ModelInputError(
            f"weights file '{folder / 'weights.npz'}' is not the one that its manifest.json was made for (expected "
            f"sha256 {manifest.weights_sha256}, found {found}): take both files from one training"
        )
    return manifest
