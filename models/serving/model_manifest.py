"""model_manifest: the JSON file of a model version: preprocessing, calibration and the origin of its weights."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.serving.model_versions import WEIGHTS_FOLDER, model_files


@dataclass(frozen=True)
class TrainingFacts:
    """Where a version's weights come from: photos, recipe and results of the training."""

    started_from: str
    data: str
    """Name and terms of the photos."""
    photo_count: int
    age_prior: list[float]
    """Share of each year of age 0–100 in training: among the photos shown, multiplied by their weights."""
    recipe: dict[str, Any]
    taught_by: str | None = None
    """Name and sum of the file with another network's answers on the photos."""


@dataclass(frozen=True)
class SecondOpinion:
    """How a version uses the small face network, and how much its opinion counts."""

    side_pixels: int
    """Side to which the photo is scaled for that network."""
    share: float
    """Share of the second opinion in the mixture of both distributions, fitted on split `valid`."""
    head_sha256: str | None = None
    """Sum of the head's file. The head was trained on split `train`."""


@dataclass(frozen=True)
class ModelManifest:
    """The manifest of one model version: its preprocessing, calibration and origin."""

    image_size: int
    """Side in pixels of the square that the network sees at inference."""
    temperature: float
    """Divisor of the logits, or of the logarithms of a mixture, fitted on split `valid`."""
    interval_mass: float | list[float]
    """Probability mass of the central interval that contains 90 % of the true ages of split `valid`: one, or by age."""
    training: TrainingFacts
    mirrored: bool = False
    """Whether the network sees each photo twice, as it is and mirrored, and the mean of the logits is used."""
    young_adult_correction: float = 0.0
    """How much estimates of young adults are lowered, in standard deviations, fitted on split `valid`."""
    weights_sha256: str | None = None
    """Sum of the calibrated weights. The first version has none here and is pinned only in `model_versions.py`."""

    second_opinion: SecondOpinion | None = None
    """None for a version with ResNet50 alone."""

    @property
    def head(self) -> str:
        """The network's output: `years` (logits over years of age), or `age` (one number, as of the seed network)."""
        return str(self.training.recipe.get("head", "years"))


@functools.cache
def read_manifest(version: str, folder: Path = WEIGHTS_FOLDER) -> ModelManifest:
    """Read the verified manifest of a version, without TensorFlow.

    Raises WeightsError when the version is unknown or one of its files is missing or altered.
    """
    return parse_manifest(model_files(version, folder).manifest)


def parse_manifest(path: Path) -> ModelManifest:
    """Read a manifest file, also one that belongs to no committed version."""
    content = json.loads(path.read_text())
    second = content.get("second_opinion")
    return ModelManifest(
        **{
            **content,
            "training": TrainingFacts(**content["training"]),
            "second_opinion": SecondOpinion(**second) if second else None,
        }
    )


def write_manifest(manifest: ModelManifest, path: Path) -> None:
    """Write the manifest as JSON. Equal manifests give equal bytes."""
    path.write_text(json.dumps(asdict(manifest), indent=1) + "\n")
