"""fit_shift_calibration: fit, on split `valid`, a correction of a version's distributions for shops' own mixes of ages.

    checkout-ages calibrate --labels labels.csv --images faces --weights age_resnet50-4 --out age_resnet50-4

A distribution p leans towards the ages that the network was trained on. So p^exponent · exp(bias) is fitted to be
calibrated for the photos of `valid`, weighted to the usual mix of buyers. Divided by the shares of ages in these
photos, it is the likelihood of a photo at each age.
Source: Alexandari, Kundaje & Shrikumar 2020, "Maximum likelihood with bias-corrected calibration is hard-to-beat at
label shift adaptation"; here the bias is smooth in age.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.faces.face_labels import ages_years
from models.serving.age_distribution import YEARS_OF_AGE, Floats
from models.serving.model_versions import MODEL_VERSIONS, SHIFT_CALIBRATION, file_sha256
from models.training.predictions import distributions_of_split
from models.training.trained_version import load_trained_version

YEARS = np.arange(YEARS_OF_AGE)

USUAL_AGES_YEARS = (0, 10, 18, 25, 60, 75, 90, 100)
USUAL_HEIGHTS = (0.15, 0.15, 0.7, 1.0, 1.0, 0.8, 0.25, 0.05)
"""Assumed ages of buyers at tills that nothing is known about: all adult ages alike, few children, few of the old."""
SMOOTHING_YEARS = 20.0
TRUSTED_TRANSACTIONS = 500.0
"""Like all constants of this module, chosen on `valid` with `python -m tests.benchmarks.age_share_choices`."""

BIAS_KNOTS_YEARS = (0, 6, 13, 18, 22, 28, 36, 45, 55, 65, 78, 100)
BIAS_ROUGHNESS = 0.02
USUAL_WEIGHT = 1.0
"""How strongly photos are weighted to the usual mix of buyers: 0 not at all, 1 fully, bounded by LARGEST_WEIGHT."""
LARGEST_WEIGHT = 6.0
WEIGHT_SPREAD_YEARS, PRIOR_SPREAD_YEARS = 2.0, 1.5
LEAST_SHARE = 1e-4
LEAST_PROBABILITY = 1e-12
REPLICATES = 30
SEED = 2026


@dataclass(frozen=True)
class Fit:
    """p^exponent · exp(bias) is calibrated for people with the age shares `prior`; bias and prior are (101,)."""

    exponent: float
    bias: list[float]
    prior: list[float]


def fit_shift_calibration(version: str | None, faces: pd.DataFrame, images: Path, out: Path) -> list[str]:
    """Write shift_calibration.json for a version or the folder of a training, and return the line that pins it.

    `version` is that of `load_trained_version`. Raises ModelInputError when there is no such version, or when no photo
    of split `valid` can be used, and WeightsError when a committed file was altered.
    """
    estimator = load_trained_version(version or MODEL_VERSIONS[-1])
    estimated, distributions = distributions_of_split(estimator, faces, images, "valid")
    out.mkdir(parents=True, exist_ok=True)
    path = out / SHIFT_CALIBRATION
    calibration = calibrate(distributions, ages_years(estimated), estimated["group"].to_numpy("str"))
    path.write_text(json.dumps(calibration) + "\n")
    return [f'"{out.name}/{path.name}": "{file_sha256(path)}",']


def calibrate(
    distributions: Floats, ages: NDArray[np.int64], groups: NDArray[np.str_], replicates: int = REPLICATES
) -> dict[str, object]:
    """Return the content of shift_calibration.json, from (n, 101) distributions, (n,) ages and (n,) groups of photos.

    Each replicate is a fit on as many groups of near duplicates, drawn with replacement.
    """
    names, group = np.unique(groups, return_inverse=True)
    random = np.random.default_rng(SEED)
    draws = [np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(replicates)]
    return {
        "photo_count": len(ages),
        "smoothing_years": SMOOTHING_YEARS,
        "trusted_transactions": TRUSTED_TRANSACTIONS,
        "usual_mix": _rounded(usual_mix()),
        **asdict(fit(distributions, ages, np.ones(len(ages)))),
        "replicates": [asdict(fit(distributions, ages, draw[group].astype(np.float64))) for draw in draws],
    }


def fit(distributions: Floats, ages: NDArray[np.int64], times: Floats, usual_weight: float = USUAL_WEIGHT) -> Fit:
    """Fit the correction with the smallest weighted negative log likelihood of the photos' ages.

    Each photo counts `times` times.
    """
    smooth_shares = _shares(ages, times, WEIGHT_SPREAD_YEARS)
    weights = times * np.minimum((usual_mix() / smooth_shares)[ages] ** usual_weight, LARGEST_WEIGHT)
    weights /= weights.sum()
    logs = np.log(np.maximum(distributions, LEAST_PROBABILITY))
    # A column per knot: how much each age follows it. So the bias is linear between knots.
    knots = np.stack([np.interp(YEARS, BIAS_KNOTS_YEARS, knot) for knot in np.eye(len(BIAS_KNOTS_YEARS))], axis=1)
    start = np.concatenate([[1.0], np.zeros(knots.shape[1])])
    fitted = minimize(_loss, start, (logs, ages, weights, knots), method="L-BFGS-B", jac=True).x
    bias = knots @ fitted[1:]
    prior = _shares(ages, weights, PRIOR_SPREAD_YEARS)
    return Fit(round(float(fitted[0]), 4), _rounded(bias - bias.mean()), _rounded(prior))


def usual_mix() -> Floats:
    """Return the (101,) shares of ages that are assumed for buyers in a shop without further knowledge."""
    heights = np.interp(YEARS, USUAL_AGES_YEARS, USUAL_HEIGHTS)
    shares: Floats = heights / heights.sum()
    return shares


def _loss(
    parameters: Floats, logs: Floats, ages: NDArray[np.int64], weights: Floats, knots: Floats
) -> tuple[float, Floats]:
    """Return the loss of exponent and bias, with a penalty on rough biases, and its gradient."""
    exponent, bias = parameters[0], parameters[1:]
    scores = exponent * logs + knots @ bias
    highest = scores.max(axis=1, keepdims=True)
    totals = np.exp(scores - highest).sum(axis=1)
    calibrated = np.exp(scores - highest) / totals[:, None]
    rows = np.arange(len(ages))
    likelihood = weights @ (scores[rows, ages] - highest[:, 0] - np.log(totals))
    steps = np.diff(bias)  # penalised, so that a few photos near a knot do not bend the bias
    roughness = BIAS_ROUGHNESS / len(bias)
    pull = 2 * roughness * (np.concatenate([[0.0], steps]) - np.concatenate([steps, [0.0]]))
    # Gradient of a log-linear model: the expected minus the observed sum of each feature.
    by_exponent = weights @ ((calibrated * logs).sum(axis=1) - logs[rows, ages])
    by_bias = (weights @ calibrated - np.bincount(ages, weights, YEARS_OF_AGE)) @ knots
    return float(roughness * steps @ steps - likelihood), np.concatenate([[by_exponent], by_bias + pull])


def _shares(ages: NDArray[np.int64], weights: Floats, spread_years: float) -> Floats:
    """Return the (101,) weighted shares of ages, smoothed, and all above 0 because they become divisors."""
    nearness = np.exp(-0.5 * ((YEARS[:, None] - YEARS) / spread_years) ** 2)
    counted = np.bincount(ages, weights / weights.sum(), YEARS_OF_AGE)
    shares = counted @ (nearness / nearness.sum(axis=1, keepdims=True)) + LEAST_SHARE
    normalised: Floats = shares / shares.sum()
    return normalised


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
