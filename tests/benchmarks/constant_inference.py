"""constant_inference: run a step of `jobs.run` with the same estimate for every photo, without fetching any.

It measures everything else on days with so many photos that inference would take hours.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pyspark.accumulators import Accumulator
from pyspark.sql import functions as F

from jobs import run
from jobs.ages.age_columns import ESTIMATE_TYPE
from jobs.ages.age_inference import PhotoInference
from jobs.tables import photo_age_estimates

AGE_YEARS = 40.0
SPREAD_YEARS = 6.0


def constant_estimator(inference: PhotoInference, photos_done: Accumulator[int]) -> Callable[..., Any]:
    """Return a UDF with the signature of `photo_age_estimator` and the same result for each photo."""
    years = np.arange(101)
    curve = np.exp(-0.5 * ((years - AGE_YEARS) / SPREAD_YEARS) ** 2)
    distribution = (curve / curve.sum()).astype(np.float32)
    estimate = {
        "estimate_status": "estimated",
        "estimate_reason": None,
        "estimated_age_years": AGE_YEARS,
        "estimated_age_low_years": AGE_YEARS - 10,
        "estimated_age_high_years": AGE_YEARS + 10,
        "under_18_probability": float(distribution[:18].sum()),
        "age_distribution": distribution,
        "face_count": 1,
        "face_side_pixels": 200,
    }

    def estimated(photos: pd.DataFrame) -> pd.DataFrame:
        photos_done.add(len(photos))
        rows = pd.DataFrame([estimate] * len(photos))
        rows["content_sha256"] = [hashlib.sha256(key.encode()).hexdigest() for key in photos["photo_key"]]
        return rows

    estimated.__annotations__ = {"photos": pd.DataFrame, "return": pd.DataFrame}
    pandas_udf: Any = F.pandas_udf  # type: ignore[attr-defined]
    return pandas_udf(estimated, ESTIMATE_TYPE)


if __name__ == "__main__":
    vars(photo_age_estimates)["photo_age_estimator"] = constant_estimator
    sys.exit(run.main())
