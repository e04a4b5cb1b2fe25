import hashlib
import shutil
from pathlib import Path

import pytest

from models.serving import model_versions as weights
from models.serving.model_versions import (
    MODEL_VERSIONS,
    PINNED_SHA256,
    WEIGHTS_FOLDER,
    WeightsError,
    model_files,
    openvino_path,
    shift_calibration_path,
    weights_path,
)


@pytest.mark.parametrize("version", MODEL_VERSIONS)
def test_the_committed_weights_are_those_that_were_pinned(version: str) -> None:
    files = model_files(version)
    assert files.weights == WEIGHTS_FOLDER / version / "weights.npz"
    assert files.manifest == WEIGHTS_FOLDER / version / "manifest.json"


@pytest.mark.parametrize("name", ["weights.npz", "manifest.json"])
def test_a_file_with_one_byte_changed_is_refused(tmp_path: Path, name: str) -> None:
    version = MODEL_VERSIONS[-1]
    folder = shutil.copytree(WEIGHTS_FOLDER / version, tmp_path / version)
    with (folder / name).open("r+b") as file:
        file.seek(-3, 2)
        last = file.read(1)
        file.seek(-3, 2)
        file.write(bytes([last[0] ^ 1]))
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    with pytest.raises(WeightsError) as refusal:
        model_files(version, tmp_path)
    assert str(refusal.value) == (
        f"weights file '{folder / name}' was altered (expected sha256 {PINNED_SHA256[f'{version}/{name}']}, "
        f"found {found}): restore it with `git checkout models/weights`, or install the package again"
    )


@pytest.mark.parametrize("name", ["openvino_int8.xml", "openvino_int8.bin"])
def test_a_quantised_network_with_one_byte_changed_is_refused(tmp_path: Path, name: str) -> None:
    version = MODEL_VERSIONS[-1]
    folder = shutil.copytree(WEIGHTS_FOLDER / version, tmp_path / version)
    content = bytearray((folder / name).read_bytes())
    content[100] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name}' was altered"):
        openvino_path(version, tmp_path)


def test_a_shift_calibration_with_one_byte_changed_is_refused(tmp_path: Path) -> None:
    version = MODEL_VERSIONS[-1]
    folder = shutil.copytree(WEIGHTS_FOLDER / version, tmp_path / version)
    (folder / "shift_calibration.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"shift_calibration\.json' was altered"):
        shift_calibration_path(version, tmp_path)


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights\.npz' is missing .*: restore it with `git checkout"):
        model_files(MODEL_VERSIONS[-1], tmp_path)


def test_an_unknown_version_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match=r"unknown model version 'age_vgg16-9'; known versions: age_resnet50-3"):
        model_files("age_vgg16-9")


def test_unknown_single_file_weights_list_the_known_ones() -> None:
    with pytest.raises(
        WeightsError, match=r"unknown weights 'age_resnet50-3'; known weights: sample_people-1, synthetic_faces-2"
    ):
        weights_path("age_resnet50-3")


def test_single_file_weights_are_verified_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.PINNED_SHA256, "dice-1.npz", hashlib.sha256(b"four").hexdigest())
    (tmp_path / "dice-1.npz").write_bytes(b"four")
    assert weights_path("dice-1", tmp_path) == tmp_path / "dice-1.npz"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dice-1.npz").write_bytes(b"five")
    with pytest.raises(WeightsError, match="was altered"):
        weights_path("dice-1", tmp_path / "other")
