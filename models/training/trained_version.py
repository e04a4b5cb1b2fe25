"""trained_version: load an age estimator of a committed model version, or from the folder of a training."""

from __future__ import annotations

from pathlib import Path

from models.errors import ModelInputError
from models.serving.age_estimator import BATCH_SIZE, AgeEstimator, Engine, Network
from models.serving.face_finding import FaceFinder
from models.serving.model_manifest import ModelManifest, parse_manifest, read_manifest
from models.serving.model_versions import (
    MODEL_VERSIONS,
    OPENVINO_NETWORK,
    SECOND_OPINION_HEAD,
    ModelFiles,
    file_sha256,
    model_files,
)
from models.serving.openvino_engine import OpenVinoNetwork
from models.serving.tensorflow_engine import TensorFlowNetwork


def load_trained_version(version: str, engine: Engine = "openvino") -> AgeEstimator:
    """Load a committed version by its name, or weights.npz and manifest.json from a folder.

    A committed version is verified by its pinned sums, a folder by the sum in its own manifest, if that has one.
    A folder's network for OpenVINO is the one that `checkout-ages export` wrote there.
    Raises ModelInputError when `version` is neither a version nor a training's folder, WeightsError when files were
    altered.
    """
    if version in MODEL_VERSIONS:
        return AgeEstimator.load(version, engine)
    files, manifest = trained_files(version)
    load = _load_openvino if engine == "openvino" else _load_tensorflow
    network = load(files, manifest)
    return AgeEstimator(files.weights.resolve().parent.name, manifest, network, FaceFinder.load(), BATCH_SIZE)


def trained_files(version: str) -> tuple[ModelFiles, ModelManifest]:
    """Return the files and the manifest of a committed version, or of the folder of a training.

    Raises as `load_trained_version` does.
    """
    if version in MODEL_VERSIONS:
        return model_files(version), read_manifest(version)
    folder = Path(version)
    if not folder.is_dir():
        raise ModelInputError(
            f"weights '{version}' are neither a model version nor a folder: name one of {', '.join(MODEL_VERSIONS)}, "
            "or a folder with weights.npz and manifest.json"
        )
    manifest = _read_manifest(folder)
    head = folder / SECOND_OPINION_HEAD if manifest.second_opinion else None
    return ModelFiles(folder / "weights.npz", folder / "manifest.json", head), manifest


def _load_openvino(files: ModelFiles, manifest: ModelManifest) -> Network:
    path = files.weights.with_name(OPENVINO_NETWORK)
    if not path.is_file():
        raise ModelInputError(
            f"folder '{path.parent}' has no {OPENVINO_NETWORK}: make it with `checkout-ages export`, "
            "or take the engine tensorflow"
        )
    return OpenVinoNetwork(path, manifest.image_size, BATCH_SIZE, None)


def _load_tensorflow(files: ModelFiles, manifest: ModelManifest) -> Network:
    network = TensorFlowNetwork(files, manifest, BATCH_SIZE, None)
    if missing := network.missing:
        raise ModelInputError(
            f"weights file '{files.weights}' lacks {len(missing)} arrays of the network, as '{missing[0]}': "
            "name the folder of a finished training"
        )
    return network


def _read_manifest(folder: Path) -> ModelManifest:
    for name in ("weights.npz", "manifest.json"):
        if not (folder / name).is_file():
            raise ModelInputError(f"folder '{folder}' has no {name}: name the folder of a finished training")
    try:
        manifest = parse_manifest(folder / "manifest.json")
    except (ValueError, TypeError, KeyError) as error:
        raise ModelInputError(
            f"manifest '{folder / 'manifest.json'}' cannot be read: {error!r}; write it again by training"
        ) from error
    _check_sum(folder / "weights.npz", manifest.weights_sha256)
    if manifest.second_opinion:
        _check_sum(folder / SECOND_OPINION_HEAD, manifest.second_opinion.head_sha256)
    return manifest


def _check_sum(path: Path, expected: str | None) -> None:
    if not path.is_file():
        raise ModelInputError(f"folder '{path.parent}' has no {path.name}: name the folder of a finished training")
    found = file_sha256(path)
    if expected not in (None, found):
        raise ModelInputError(
            f"weights file '{path}' is not the one that its manifest.json was made for (expected sha256 {expected}, "
            f"found {found}): take both files from one training"
        )
