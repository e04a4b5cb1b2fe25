"""weights: which files belong to a model version, and whether they are still the ones that were committed.

A version is never changed: other weights or another calibration are a new version with new sums.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_FOLDER = Path(__file__).parent / "weights"

PINNED_SHA256 = {
    "age_resnet50-1/manifest.json": "3ea405b4a86a94838c46d1a9000fadcc641302afe00b0a3d5be3e2826979ea10",
    "age_resnet50-1/weights.npz": "7d706c79c230566cf24307d537f7a8b912348d1e972dc959f806aab680bf1ada",
    "synthetic_faces-1.npz": "0",
}
"""The files that are read below `models/weights`, and the sums of the bytes that were committed."""

MODEL_VERSIONS = tuple(name.split("/")[0] for name in PINNED_SHA256 if name.endswith("/manifest.json"))
"""Versions of the age network, oldest first."""


class WeightsError(Exception):
    """Weights that are missing, altered or unknown; the message says which and what to do."""


@dataclass(frozen=True)
class ModelFiles:
    """The two files of one version of the age network."""

    weights: Path
    manifest: Path


def model_files(version: str, folder: Path = WEIGHTS_FOLDER) -> ModelFiles:
    """Return the verified files of a version of the age network.

    Raises WeightsError when the version is unknown or a file is missing or altered.
    """
    if version not in MODEL_VERSIONS:
        raise WeightsError(f"unknown model version '{version}'; known versions: {', '.join(MODEL_VERSIONS)}")
    return ModelFiles(
        weights=_verified(f"{version}/weights.npz", folder), manifest=_verified(f"{version}/manifest.json", folder)
    )


def weights_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified single file of a version that has no manifest, as `synthetic_faces-1`.

    Raises WeightsError when the version is unknown or the file is missing or altered.
    """
    name = f"{version}.npz"
    if name not in PINNED_SHA256:
        known = [file.removesuffix(".npz") for file in PINNED_SHA256 if "/" not in file]
        raise WeightsError(f"unknown weights '{version}'; known weights: {', '.join(known)}")
    return _verified(name, folder)


@functools.cache
def _verified(name: str, folder: Path) -> Path:
    path = folder / name
    way_out = "restore it with `git checkout models/weights`, or install the package again"
    if not path.is_file():
        raise WeightsError(f"weights file '{path}' is missing (expected sha256 {PINNED_SHA256[name]}): {way_out}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != PINNED_SHA256[name]:
        raise WeightsError(
            f"weights file '{path}' was altered (expected sha256 {PINNED_SHA256[name]}, found {found}): {way_out}"
        )
    return path
