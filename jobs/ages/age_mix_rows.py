"""age_mix_rows: the ages of a circle of buyers as columns of age_mixes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jobs.ages.age_mix_estimation import CircleMix


def columns_of(circle: CircleMix) -> dict[str, object]:
    """Return what age_mixes keeps of a circle."""
    return {
        "transaction_count": circle.transaction_count,
        "estimated_age_distribution": circle.mix.tolist(),
        "estimated_age_shares": circle.shares.tolist(),
        "resampled_age_distributions": circle.resampled_mixes.tolist(),
        "resampled_age_shares": circle.resampled_shares.tolist(),
    }


def circle_of(row: Mapping[str, Any] | pd.Series) -> CircleMix:
    """Return the circle that a row of age_mixes keeps."""
    return CircleMix(
        int(row["transaction_count"]),
        np.asarray(row["estimated_age_distribution"], dtype=np.float64),
        np.asarray(row["estimated_age_shares"], dtype=np.float64),
        np.stack(row["resampled_age_distributions"]).astype(np.float64),
        np.stack(row["resampled_age_shares"]).astype(np.float64),
    )
