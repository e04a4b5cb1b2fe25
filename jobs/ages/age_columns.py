"""age_columns: the vectorised UDFs: of photos, and of age distributions.

This file has no future import. It would turn annotations into strings, and pandas_udf reads the types themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace
from itertools import chain
from typing import Any, cast

import numpy as np
import pandas as pd
from pyspark.accumulators import Accumulator
from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.ages.age_inference import PhotoInference, task_stage
from jobs.ages.age_mix_estimation import ShiftCalibration, cell_numbers, corrected
from jobs.ages.age_mix_fit import Floats
from models.serving.age_distribution import YEARS_OF_AGE

ESTIMATE_TYPE = (
    "estimate_status string, estimate_reason string, estimated_age_years double, estimated_age_low_years double, "
    "estimated_age_high_years double, under_18_probability double, age_distribution array<float>, face_count bigint, "
    "face_side_pixels bigint, content_sha256 string"
)
SUMMARY_TYPE = (
    "estimated_age_years double, estimated_age_low_years double, estimated_age_high_years double, "
    "under_18_probability double"
)


def photo_age_estimator(inference: PhotoInference, photos_done: Accumulator[int]) -> Callable[..., Column]:
    """Return a UDF: struct of the columns that `InferenceStage.estimates` takes ► struct ESTIMATE_TYPE, one per photo.

    `photos_done` grows when a task ends. A task without photos loads no model.
    """

    def estimate(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        first = next(batches, None)
        if first is None:
            return
        for rows in task_stage(inference).estimates(chain([first], batches)):
            photos_done.add(len(rows))
            yield pd.DataFrame(rows, columns=_field_names(ESTIMATE_TYPE))

    return _vector_udf(estimate, ESTIMATE_TYPE)


def summarise_age(model_version: str) -> Callable[..., Column]:
    """Return a UDF: probabilities by year of age ► struct SUMMARY_TYPE; nulls for null. Starts no network."""

    def summarise(distributions: pd.Series) -> pd.DataFrame:
        known = distributions.notna()
        summaries = pd.DataFrame(np.nan, index=distributions.index, columns=_field_names(SUMMARY_TYPE))
        if known.any():
            summaries.loc[known] = _summaries(stacked(distributions[known]), model_version)
        return summaries

    return _vector_udf(summarise, SUMMARY_TYPE)


def correct_for_buyers(calibration: ShiftCalibration, age_mix: Sequence[float] | None) -> Callable[..., Column]:
    """Return a UDF: probabilities by year of age ► the same, corrected for who buys by age_mix; null for null.

    `age_mix` holds the (101,) shares of the buyers' ages, or is None if no buyer has an estimate.
    """
    # The replicates serve for intervals only; without them the closure that goes to each task is small.
    small_calibration = replace(calibration, replicates=())
    mix = None if age_mix is None else np.asarray(age_mix, dtype=np.float64)

    def correct(distributions: pd.Series) -> pd.Series:
        known = distributions.dropna()
        if known.empty:
            return distributions
        if mix is None:
            raise ValueError(f"{len(known)} buyers have an estimate, but age_mixes has no mix of their ages")
        # Only known distributions were corrected; the iterator hands them back to the rows they belong to.
        rows = iter(corrected(stacked(known), mix, small_calibration))
        return pd.Series([next(rows) if is_known else None for is_known in distributions.notna()])

    return _vector_udf(correct, "array<double>")


def age_cell(age_distribution: Column) -> Column:
    """Return the number of the cell of an age distribution, see `age_cells`; null for null."""

    def cell(distributions: pd.Series) -> pd.Series:
        known = distributions.notna()
        numbers = pd.Series(pd.NA, index=distributions.index, dtype="Int64")
        if known.any():
            numbers[known] = cell_numbers(stacked(distributions[known]))
        return numbers

    return _vector_udf(cell, "bigint")(age_distribution)


def stacked(distributions: pd.Series) -> Floats:
    """Return distributions as rows of one array."""
    return np.stack(distributions.to_list()).astype(np.float64) if len(distributions) else np.empty((0, YEARS_OF_AGE))


def _summaries(distributions: Floats, model_version: str) -> Floats:
    from models.serving.age_distribution import probability_under, summarise
    from models.serving.model_manifest import read_manifest

    # Stored shares are rounded to float and do not add up to exactly 1.
    exact = distributions / distributions.sum(axis=1, keepdims=True)
    manifest = read_manifest(model_version)
    summary = summarise(exact, manifest.interval_mass, manifest.young_adult_correction)
    return np.column_stack([*astuple(summary), probability_under(exact, 18)])


def _vector_udf(function: Callable[..., Any], returned_type: str) -> Callable[..., Column]:
    """Return a pandas UDF of an annotated function."""
    pandas_udf: Any = F.pandas_udf  # type: ignore[attr-defined]
    return cast("Callable[..., Column]", pandas_udf(function, returned_type))


def _field_names(struct_type: str) -> list[str]:
    """Return the fields of a struct type as Spark writes it, without their types."""
    return [field.split()[0] for field in struct_type.split(", ")]
