"""model_errors: reads the errors of an age model from the evaluation that is stored next to its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.serving.model_versions import WEIGHTS_FOLDER

Interval = tuple[float, float]


@dataclass(frozen=True)
class BandErrors:
    """The model's errors on photos of people with a labelled age in one age group."""

    age_band: str
    photo_count: int
    mae: float
    bias: float
    interval_coverage: float


@dataclass(frozen=True)
class ModelErrors:
    """The model's errors on photos that were not used for its training."""

    photo_count: int
    mae: float
    mae_interval: Interval
    interval_coverage: float
    under_18_calibration_error: float
    passed_13_17_share: float | None
    """Share of people aged 13 to 17 who are estimated at 25 or older."""
    bands: Sequence[BandErrors]


def model_errors(model_version: str) -> ModelErrors | None:
    """Return the errors of a model version, or None if its evaluation is not stored."""
    path = WEIGHTS_FOLDER / model_version / "metrics.json"
    if not path.is_file():
        return None
    metrics: Mapping[str, Any] = json.loads(path.read_text())
    low, high = metrics["mae_interval_95"]
    return ModelErrors(
        metrics["photo_count"],
        metrics["mae"],
        (low, high),
        metrics["interval_coverage"],
        metrics["under_18_calibration_error"],
        metrics.get("challenge_25", {}).get("false_positive_rate"),
        [
            BandErrors(row["age_band"], row["photo_count"], row["mae"], row["bias"], row["interval_coverage"])
            for row in metrics["by_age_band"]
        ],
    )
