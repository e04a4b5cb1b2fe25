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
    "age_resnet50-1/manifest.json": "ba20357a232725077b326ce3099ece115faf79171c4003fc45de89315fcbb6f0",
    "age_resnet50-1/weights.npz": "9da4b935e6620d7a08898dd7382fdd5db1381ee2389a194eef096d205a5efeac",
    "age_resnet50-2/manifest.json": "203791592f5057bd47c8f4a0e2e6cc6b9e8e23ccc33cddf336420b47a0cc4545",
    "age_resnet50-2/openvino_int8.bin": "8a1c8b5d653cee3ac7274665f2256f8992513f58a96f4dc0703f15d350e0c23e",
    "age_resnet50-2/openvino_int8.xml": "0f43077262f98aa3c26e643c6ef9d94e8fdcbc7b104b2bcdacd56f1943bef351",
    "age_resnet50-2/shift_calibration.json": "1ebf4ad49a8e627ad2854b0a50a8d8d6d2c1beaf2ccf77fa12261143d34f5936",
    "age_resnet50-2/weights.npz": "fa7530fb9821587b5c7b269e83ce7ad7b7183a4486f98cbfc05b2c48b1b6f3d8",
    "age_resnet50-3/manifest.json": "9c4415be10956b369a5cf8f48f1be79018cc5130d759c4d383c7d6bc65847907",
    "age_resnet50-3/openvino_int8.bin": "f1e3c8b6112f9030ef8e07c8e3ed9e5a1a6f085c2e9bc240c8bfc0c7aa4d13e3",
    "age_resnet50-3/openvino_int8.xml": "ab0b17277940890c7e81443876af6e0513d1a3a0e2490544d2498dd0046fbd6e",
    "age_resnet50-3/shift_calibration.json": "19b4123237978742b9da0ef5787370503b9db717cd020ee3b8f6e08652e1fc32",
    "age_resnet50-3/weights.npz": "9d362b8a1b0a9ec28b90042c9cc6e4cfd95e79952739ae3d0cd25b55f0e2f160",
    "centerface/centerface.onnx": "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    "centerface/openvino_int8.bin": "51879ecc656a940f52efabf2ae23a05e4abe3902d344aae44dd2e58b29130534",
    "centerface/openvino_int8.xml": "78477323453e50daeee489e9e3bdaecdd70e3cb1cf3e12a89153b777d4eaeb1a",
    "hse_faceres_deep/weights.npz": "6ad6bb7b588249ea0c6f95c766ab23ed8d0a0341a7db26586e37c2ead8b05546",
    "synthetic_faces-2.npz": "4689521194ddb1b6d94bab6ae335ea56557fd60271a18f09de89e12815229304",
}
"""The files that are read below `models/weights`, and the sums of the bytes that were committed."""

FACE_NETWORK = "hse_faceres_deep"
"""Folder of the small face network that gives a second opinion."""

FACE_NETWORK_WEIGHTS = "weights.npz"
SECOND_OPINION_HEAD = "second_opinion.npz"
"""Name of the head of a version's second opinion, in its folder."""

OPENVINO_NETWORK = "openvino_int8.xml"
"""Name of a quantised network in its folder."""

SHIFT_CALIBRATION = "shift_calibration.json"
"""Name of what corrects a version's distributions for another mix of ages, in its folder."""

MODEL_VERSIONS = tuple(name.split("/")[0] for name in PINNED_SHA256 if name.endswith("/manifest.json"))
"""Versions of the age network, oldest first."""


class WeightsError(Exception):
    """Weights that are missing, altered or unknown; the message says which and what to do."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one version of the age network that no engine owns."""

    weights: Path
    manifest: Path
    second_opinion_head: Path | None = None
    """None for a version without a second opinion."""


def model_files(version: str, folder: Path = WEIGHTS_FOLDER) -> ModelFiles:
    """Return the verified files of a version of the age network.

    Raises WeightsError when the version is unknown or a file is missing or altered.
    """
    if version not in MODEL_VERSIONS:
        raise WeightsError(f"unknown model version '{version}'; known versions: {', '.join(MODEL_VERSIONS)}")
    head = f"{version}/{SECOND_OPINION_HEAD}"
    return ModelFiles(
        weights=_verified(f"{version}/weights.npz", folder),
        manifest=_verified(f"{version}/manifest.json", folder),
        second_opinion_head=_verified(head, folder) if head in PINNED_SHA256 else None,
    )


def face_network_path(folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified weights of the small face network.

    Raises WeightsError when the file is missing or altered.
    """
    return _verified(f"{FACE_NETWORK}/{FACE_NETWORK_WEIGHTS}", folder)


def openvino_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified int8 network of a version for OpenVINO; its arrays lie beside it as .bin.

    Raises WeightsError when the version is unknown or has none, or a file is missing or altered.
    """
    model_files(version, folder)
    name = f"{version}/{OPENVINO_NETWORK}"
    if name not in PINNED_SHA256:
        raise WeightsError(
            f"model version '{version}' has no network for OpenVINO: set the inference engine to tensorflow, "
            "or make one with `checkout-ages export`"
        )
    return _verified_network(name, folder)


def shift_calibration_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path | None:
    """Return the verified shift calibration of a version; None where it has none.

    Raises WeightsError when the version is unknown or a file is missing or altered.
    """
    model_files(version, folder)
    name = f"{version}/{SHIFT_CALIBRATION}"
    return _verified(name, folder) if name in PINNED_SHA256 else None


def weights_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified single file of a version that has no manifest, as `synthetic_faces-2`.

    Raises WeightsError when the version is unknown or the file is missing or altered.
    """
    name = f"{version}.npz"
    if name not in PINNED_SHA256:
        known = [file.removesuffix(".npz") for file in PINNED_SHA256 if "/" not in file]
        raise WeightsError(f"unknown weights '{version}'; known weights: {', '.join(known)}")
    return _verified(name, folder)


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finder_path(folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified int8 network that finds faces, for OpenVINO; its arrays lie beside it as .bin.

    Raises WeightsError when a file is missing or altered.
    """
    return _verified_network(f"centerface/{OPENVINO_NETWORK}", folder)


def original_finder_path(folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified float32 network that finds faces, from which the int8 one was made.

    Raises WeightsError when the file is missing or altered.
    """
    return _verified("centerface/centerface.onnx", folder)


def _verified_network(name: str, folder: Path) -> Path:
    _verified(name.replace(".xml", ".bin"), folder)
    return _verified(name, folder)


@functools.cache
def _verified(name: str, folder: Path) -> Path:
    path = folder / name
    way_out = "restore it with `git checkout models/weights`, or install the package again"
    if not path.is_file():
        raise WeightsError(f"weights file '{path}' is missing (expected sha256 {PINNED_SHA256[name]}): {way_out}")
    found = file_sha256(path)
    if found != PINNED_SHA256[name]:
        raise WeightsError(
            f"weights file '{path}' was altered (expected sha256 {PINNED_SHA256[name]}, found {found}): {way_out}"
        )
    return path
