"""age_columns: vectorised UDFs on age distributions: one gives an age and its interval, one corrects for who buys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from jobs.ages.age_mix_estimation import corrected
from jobs.ages.shift_calibration import shift_calibration
from jobs.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import Column

SUMMARY_TYPE = (
    "estimated_age_years double, estimated_age_low_years double, estimated_age_high_years double, "
    "under_18_probability double"
)


def summarise_age(settings: Settings) -> Callable[..., Column]:
    """Return a UDF: probabilities by year of age ► struct SUMMARY_TYPE; nulls for null. Starts no network."""

    def summarise(distributions: pd.Series) -> pd.DataFrame:
        known = distributions.notna()
        summaries = pd.DataFrame(np.nan, index=distributions.index, columns=field_names(SUMMARY_TYPE))
        if known.any():
            summaries.loc[known] = _summaries(np.stack(distributions[known].to_list()), settings.model_version)
        return summaries

    # pandas_udf needs the types themselves; the future import turns annotations into strings.
    summarise.__annotations__ = {"distributions": pd.Series, "return": pd.DataFrame}
    return vector_udf(summarise, SUMMARY_TYPE)


def correct_for_buyers(settings: Settings, age_mix: Sequence[float] | None) -> Callable[..., Column]:
    """Return a UDF: probabilities by year of age ► the same, corrected for who buys by age_mix; null for null.

    `age_mix` holds the (101,) shares of the buyers' ages, or is None where no buyer has an estimate.
    """
    # The replicates serve for intervals only; without them the closure that goes to each task is small.
    calibration = replace(shift_calibration(settings.model_version), replicates=())
    mix = None if age_mix is None else np.asarray(age_mix, dtype=np.float64)

    def correct(distributions: pd.Series) -> pd.Series:
        known = distributions.dropna()
        if known.empty:
            return distributions
        if mix is None:
            raise ValueError(f"{len(known)} buyers have an estimate, and age_mixes has no mix of their ages")
        # Only known distributions were corrected; the iterator hands them back to the rows they belong to.
        rows = iter(corrected(np.stack(known.to_list()).astype(np.float64), mix, calibration))
        return pd.Series([next(rows) if is_known else None for is_known in distributions.notna()])

    correct.__annotations__ = {"distributions": pd.Series, "return": pd.Series}
    return vector_udf(correct, "array<double>")


def _summaries(distributions: np.ndarray, model_version: str) -> np.ndarray:
    from models.serving.age_distribution import probability_under, summarise
    from models.serving.model_manifest import read_manifest

    rounded = distributions.astype(np.float64)
    # Stored shares are rounded to float and do not add up to exactly 1.
    exact = rounded / rounded.sum(axis=1, keepdims=True)
    manifest = read_manifest(model_version)
    summary = summarise(exact, manifest.interval_mass, manifest.young_adult_correction)
    return np.column_stack([*astuple(summary), probability_under(exact, 18)])


def vector_udf(function: Callable[..., Any], returned_type: str) -> Callable[..., Column]:
    """Return a pandas UDF of an annotated function."""
    from pyspark.sql import functions as F

    pandas_udf: Any = F.pandas_udf  # type: ignore[attr-defined]
    return cast("Callable[..., Column]", pandas_udf(function, returned_type))


def field_names(struct_type: str) -> list[str]:
    """Return the fields of a struct type as Spark writes it, without their types."""
    return [field.split()[0] for field in struct_type.split(", ")]
