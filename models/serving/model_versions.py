"""model_versions: find the files of a model version, and verify by sha256 that they are the committed files.

A version never changes: other weights or another calibration make a new version with new sha256 sums.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"

PINNED_SHA256 = {
    "age_resnet50-3/manifest.json": "9c4415be10956b369a5cf8f48f1be79018cc5130d759c4d383c7d6bc65847907",
    "age_resnet50-3/openvino_int8.bin": "f1e3c8b6112f9030ef8e07c8e3ed9e5a1a6f085c2e9bc240c8bfc0c7aa4d13e3",
    "age_resnet50-3/openvino_int8.xml": "ab0b17277940890c7e81443876af6e0513d1a3a0e2490544d2498dd0046fbd6e",
    "age_resnet50-3/shift_calibration.json": "19b4123237978742b9da0ef5787370503b9db717cd020ee3b8f6e08652e1fc32",
    "age_resnet50-3/weights.npz": "9d362b8a1b0a9ec28b90042c9cc6e4cfd95e79952739ae3d0cd25b55f0e2f160",
    "age_resnet50-4/manifest.json": "392bb42109079f00772ff262a7c97f8ee8943bbc11acf83f492807f96a2bbf9f",
    "age_resnet50-4/openvino_int8.bin": "2f519396c4f5c05e926277b14a62fb29ef441ab9092c127bcea6b077fa1d407c",
    "age_resnet50-4/openvino_int8.xml": "6f0cacb967b1537ae67dc64588db79177ee90ddf275cc0fae4b3c556de356ad6",
    "age_resnet50-4/second_opinion.npz": "cc68154ddf4fb5910a6bb29f15d474f0554667cdb1b103c8a814e7cafe1ff356",
    "age_resnet50-4/shift_calibration.json": "f7692b2b20b96dcbba1f47024c4cbfdabc63798d87ec41fdec7ea885c074330e",
    "age_resnet50-4/weights.npz": "9d362b8a1b0a9ec28b90042c9cc6e4cfd95e79952739ae3d0cd25b55f0e2f160",
    "centerface/centerface.onnx": "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    "centerface/openvino_int8.bin": "51879ecc656a940f52efabf2ae23a05e4abe3902d344aae44dd2e58b29130534",
    "centerface/openvino_int8.xml": "78477323453e50daeee489e9e3bdaecdd70e3cb1cf3e12a89153b777d4eaeb1a",
    "hse_faceres_deep/weights.npz": "f870a95e35177001fadd650818ac2d2972528f0312bb945ee6efb251770da1c6",
    "sample_people-1.npz": "bdcc85e78b750531d0284e039dcec86563bdbc438392156d0318688c5d1cce54",
    "synthetic_faces-2.npz": "4689521194ddb1b6d94bab6ae335ea56557fd60271a18f09de89e12815229304",
}
"""All files that are read from `models/weights`, with the sha256 of the committed bytes. Others are refused."""

FACE_NETWORK = "hse_faceres_deep"
"""Folder of the small face network, which gives the second opinion."""

FACE_NETWORK_WEIGHTS = "weights.npz"
SECOND_OPINION_HEAD = "second_opinion.npz"
"""File of the head of a version's second opinion, in the version's folder."""

OPENVINO_NETWORK = "openvino_int8.xml"
"""File of a quantised network, in the version's folder."""

SHIFT_CALIBRATION = "shift_calibration.json"
"""File with the correction of a version's distributions for another mix of ages, in the version's folder."""

MODEL_VERSIONS = tuple(name.split("/")[0] for name in PINNED_SHA256 if name.endswith("/manifest.json"))
"""Versions of the age network, oldest first."""


class WeightsError(Exception):
    """Files of a model version are missing, altered or unknown. The message says which ones and what to do."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one version of the age network that do not depend on the engine."""

    weights: Path
    manifest: Path
    second_opinion_head: Path | None = None
    """None for a version without a second opinion."""
    weights_folder: Path = WEIGHTS_FOLDER
    """Folder that the small face network is taken from, if there is a second opinion."""


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
        weights_folder=folder,
    )


def face_network_path(folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified weights of the small face network.

    Raises WeightsError when the file is missing or altered.
    """
    return _verified(f"{FACE_NETWORK}/{FACE_NETWORK_WEIGHTS}", folder)


def openvino_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified int8 network of a version for OpenVINO; its arrays are in the .bin file next to it.

    Raises WeightsError when the version is unknown or a file is missing or altered.
    """
    model_files(version, folder)
    return _verified_network(f"{version}/{OPENVINO_NETWORK}", folder)


def shift_calibration_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path | None:
    """Return the verified shift calibration of a version; None if it has none.

    Raises WeightsError when the version is unknown or a file is missing or altered.
    """
    model_files(version, folder)
    name = f"{version}/{SHIFT_CALIBRATION}"
    return _verified(name, folder) if name in PINNED_SHA256 else None


def weights_path(version: str, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified single file of a version without a manifest, such as `synthetic_faces-2`.

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
    """Return the verified int8 network that finds faces, for OpenVINO; its arrays are in the .bin file next to it.

    Raises WeightsError when a file is missing or altered.
    """
    return _verified_network(f"centerface/{OPENVINO_NETWORK}", folder)


def original_finder_path(folder: Path = WEIGHTS_FOLDER) -> Path:
    """Return the verified float32 network that finds faces; the int8 network was made from it.

    Raises WeightsError when the file is missing or altered.
    """
    return _verified("centerface/centerface.onnx", folder)


def _verified_network(name: str, folder: Path) -> Path:
    _verified(name.replace(".xml", ".bin"), folder)  # OpenVINO opens it by itself, next to the .xml
    return _verified(name, folder)


@functools.cache  # loading a version asks for the same files several times; hash each once
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
