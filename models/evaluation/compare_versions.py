"""compare_versions: compare the errors of two model versions on the same photos, with a confidence interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from models.errors import ModelInputError
from models.evaluation.age_metrics import Figures
from models.evaluation.bootstrap import GroupBootstrap
from models.serving.age_estimator import ESTIMATED


def compare_with_baseline(predictions: pd.DataFrame, baseline: Path) -> Figures:
    """Return the difference in mean absolute error to another evaluation, on photos that both models estimated.

    `baseline` is the folder of an evaluation, or its metrics.json. The interval is a paired bootstrap: each sample
    draws groups of photos and compares the errors of both versions on them.
    Raises ModelInputError when there is no such evaluation, or it has other photos or other ages.
    """
    folder = _folder(baseline)
    rows = _paired(predictions, read_baseline(baseline), folder)
    error, baseline_error = (
        (rows[f"estimated_age_years{of}"] - rows["real_age"]).abs().to_numpy("float64") for of in ("", "_baseline")
    )
    bootstrap = GroupBootstrap(rows["group"].to_numpy("str"))
    every = np.ones(len(rows), dtype=bool)
    (interval,) = bootstrap.mean_intervals((error - baseline_error)[:, None], every)
    return {
        "baseline_version": json.loads((folder / "metrics.json").read_text()).get("model_version", "unknown"),
        "photo_count": len(rows),
        "mae": float(error.mean()),
        "baseline_mae": float(baseline_error.mean()),
        "mae_difference": float((error - baseline_error).mean()),
        "mae_difference_interval_95": interval,
    }


def comparison_sentence(comparison: Figures) -> str:
    """Say in a sentence which version is better, or that the difference may be chance."""
    low, high = comparison["mae_difference_interval_95"]
    difference = comparison["mae_difference"]
    verdict = "better" if high < 0 else "worse" if low > 0 else "neither better nor worse for sure"
    return (
        f"{verdict} than {comparison['baseline_version']}: mean error {difference:+.2f} years ({low:+.2f} to "
        f"{high:+.2f}) on the same {comparison['photo_count']} photos"
    )


def read_baseline(baseline: Path) -> pd.DataFrame:
    """Return the predictions.csv of an earlier evaluation. Raises ModelInputError when it is missing."""
    folder = _folder(baseline)
    for name in ("metrics.json", "predictions.csv"):
        if not (folder / name).is_file():
            raise ModelInputError(
                f"baseline folder '{folder}' has no {name}: make it with `checkout-ages evaluate --out '{folder}'`"
            )
    # As text, because a name like 007 must match the other evaluation's.
    return pd.read_csv(folder / "predictions.csv", dtype={"file_name": object, "group": object})


def _folder(baseline: Path) -> Path:
    return baseline.parent if baseline.suffix == ".json" else baseline


def _paired(predictions: pd.DataFrame, baseline: pd.DataFrame, folder: Path) -> pd.DataFrame:
    usable = (predictions["estimate_status"] == ESTIMATED) & (predictions["age_conflict"] == 0)
    judged = baseline.loc[baseline["estimate_status"] == ESTIMATED, ["file_name", "real_age", "estimated_age_years"]]
    rows = (
        predictions[usable]
        .drop_duplicates("file_name")
        .merge(
            judged.drop_duplicates("file_name"), how="inner", on="file_name", suffixes=("", "_baseline"), validate="1:1"
        )
    )
    if rows.empty:
        raise ModelInputError(f"baseline folder '{folder}' has no photo in common with these: judge the same photos")
    if (differing := rows[rows["real_age"] != rows["real_age_baseline"]]).size:
        raise ModelInputError(
            f"baseline folder '{folder}' has other ages for {len(differing)} photos, as "
            f"'{differing['file_name'].iloc[0]}': judge both versions by the same labels"
        )
    return rows
