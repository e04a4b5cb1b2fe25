import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import ModelInputError
from models.evaluation.compare_versions import compare_with_baseline, comparison_sentence


def judged(estimates: Sequence[float] | np.ndarray, ages: Sequence[int] = (20, 30, 40, 50)) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file_name": [f"{row}.jpg" for row in range(len(estimates))],
            "group": [str(row) for row in range(len(estimates))],
            "age_conflict": 0,
            "real_age": list(ages),
            "estimate_status": "estimated",
            "estimated_age_years": estimates,
        }
    )


def written(folder: Path, predictions: pd.DataFrame) -> Path:
    predictions.to_csv(folder / "predictions.csv", index=False)
    (folder / "metrics.json").write_text(json.dumps({"model_version": "seed"}))
    return folder


def test_the_difference_is_of_the_same_photos(tmp_path: Path) -> None:
    baseline = written(tmp_path, judged([24.0, 36.0, 40.0, 50.0]))
    found = compare_with_baseline(judged([21.0, 30.0, 41.0, 50.0]).head(3), baseline)
    assert (found["photo_count"], found["mae"]) == (3, pytest.approx(2 / 3))
    assert (found["baseline_mae"], found["mae_difference"]) == (pytest.approx(10 / 3), pytest.approx(-8 / 3))
    assert found["baseline_version"] == "seed"


def test_photos_that_one_of_them_could_not_estimate_or_that_conflict_are_left_out(tmp_path: Path) -> None:
    baseline, newer = judged([24.0, 36.0, 40.0, 50.0]), judged([21.0, 30.0, 41.0, 50.0])
    baseline.loc[0, ["estimate_status", "estimated_age_years"]] = ["missing", None]
    newer.loc[1, "age_conflict"] = 1
    assert compare_with_baseline(newer, written(tmp_path, baseline))["photo_count"] == 2


def test_pairing_finds_what_two_intervals_apart_would_not(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    ages = [40] * 300
    noise = random.normal(0, 10, 300)
    baseline = written(tmp_path, judged(40 + noise, ages))
    found = compare_with_baseline(judged(40 + 0.9 * noise, ages), tmp_path / "metrics.json")
    low, high = found["mae_difference_interval_95"]
    assert found["mae_difference"] == pytest.approx(-0.1 * np.abs(noise).mean())
    assert low < found["mae_difference"] < high < 0
    assert comparison_sentence(found).startswith("better than seed: mean error -0.")
    assert baseline == tmp_path


def test_other_ages_or_other_photos_are_refused(tmp_path: Path) -> None:
    baseline = written(tmp_path, judged([24.0, 36.0, 40.0, 50.0]))
    with pytest.raises(ModelInputError, match=r"has other ages for 1 photos, as '3\.jpg'"):
        compare_with_baseline(judged([1.0, 2.0, 3.0, 4.0], ages=(20, 30, 40, 51)), baseline)
    with pytest.raises(ModelInputError, match="has no photo in common"):
        compare_with_baseline(judged([1.0] * 4).assign(file_name="other.jpg").head(1), baseline)
    with pytest.raises(ModelInputError, match=r"has no metrics\.json: make it with"):
        compare_with_baseline(judged([1.0] * 4), tmp_path / "nowhere")
