"""figures: medians, spread and ratios; plain arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """The median over rounds, and their spread."""

    median: float
    lowest: float
    highest: float


RATIOS = {
    "stage_local_to_engine": ("b", ("a",)),
    "stage_s3_to_engine": ("c", ("a",)),
    "networks_to_version_before": ("a-prime", ("a-prime-before",)),
    "stage_local_to_version_before": ("b", ("b-before",)),
    "stage_local_to_decoding_engine": ("b", ("a-jpeg",)),
    "stage_local_to_predict_batch_udf": ("b", ("d",)),
    "stage_local_to_predict_batch_udf_one_network": ("b", ("d-one-network",)),
    "stage_local_to_keras_predict": ("b", ("e",)),
    "stage_local_to_keras_predict_one_network": ("b", ("e-one-network",)),
    "stage_local_to_ray_data": ("b", ("f-keras", "f-fast")),
    "stage_local_to_daft": ("b", ("g-keras", "g-fast")),
}
"""Ratio ► the two contenders whose photos per second it divides; of several the fastest counts."""


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def ratios(photos_per_second: Mapping[str, float]) -> dict[str, float | None]:
    """Return all RATIOS of medians; None if a contender, or one of several, was not measured."""
    return {name: _ratio(photos_per_second, over, under) for name, (over, under) in RATIOS.items()}


def quarters(values: Sequence[float]) -> dict[str, float | None]:
    """Return the medians of the second and of the last quarter of values over time, and the ratio of the two."""
    count = len(values)
    second, last = values[count // 4 : count // 2], values[count - count // 4 :]
    if not second or not last:
        return {"second_quarter_median": None, "last_quarter_median": None, "last_to_second": None}
    return {
        "second_quarter_median": median(second),
        "last_quarter_median": median(last),
        "last_to_second": median(last) / median(second),
    }


def _ratio(photos_per_second: Mapping[str, float], over: str, under: Sequence[str]) -> float | None:
    if over not in photos_per_second or any(name not in photos_per_second for name in under):
        return None
    return photos_per_second[over] / max(photos_per_second[name] for name in under)
