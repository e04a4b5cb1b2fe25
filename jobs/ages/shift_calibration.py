"""shift_calibration: reads the parameters with which a model version's estimates are corrected for the shops' ages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jobs.ages.age_mix_estimation import Replicate, ShiftCalibration
from jobs.ages.age_mix_fit import Floats
from jobs.errors import InputError

LEAST_PRIOR_SHARE = 1e-4
"""Added to each age's share in the training photos: likelihoods are divided by it, and an age without photos has 0."""
UNFITTED_SMOOTHING_YEARS = 20.0
UNFITTED_TRUSTED_TRANSACTIONS = 250.0
"""The default for model versions without a fitted shift calibration: their errors are larger."""


@lru_cache
def shift_calibration(model_version: str) -> ShiftCalibration:
    """Return the parameters that correct a model version's age distributions for the mix of ages in the shops.

    A version without a fitted calibration gets cautious defaults: its distributions are not calibrated, and few
    transactions have influence on a mix. Raises InputError when the version is unknown or one of its files is missing
    or altered.
    """
    from models.serving.model_versions import WeightsError, shift_calibration_path

    try:
        path = shift_calibration_path(model_version)
        return _unfitted_calibration(model_version) if path is None else _read_calibration(path)
    except WeightsError as error:
        raise InputError(str(error)) from None


def _read_calibration(path: Path) -> ShiftCalibration:
    content = json.loads(path.read_text())
    return ShiftCalibration(
        **_fitted(content),
        smoothing_years=content["smoothing_years"],
        trusted_transactions=content["trusted_transactions"],
        replicates=tuple(Replicate(**_fitted(replicate)) for replicate in content["replicates"]),
        usual_mix=_whole(content["usual_mix"]),
    )


def _fitted(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "exponent": content["exponent"],
        "bias": np.asarray(content["bias"], dtype=np.float64),
        "prior": _whole(content["prior"]),
    }


def _whole(shares: Sequence[float]) -> Floats:
    # The file has rounded shares; a mix must add up to 1.
    whole: Floats = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    return whole


def _unfitted_calibration(model_version: str) -> ShiftCalibration:
    from models.serving.model_manifest import read_manifest

    prior = _whole([share + LEAST_PRIOR_SHARE for share in read_manifest(model_version).training.age_prior])
    return ShiftCalibration(1.0, np.zeros(len(prior)), prior, UNFITTED_SMOOTHING_YEARS, UNFITTED_TRUSTED_TRANSACTIONS)
