"""evaluation: the class of an evaluation's result, from which its files and its page are written."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from models.evaluation.age_metrics import Figures, JudgedAges


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation: figures for metrics.json, and a row per listed photo for predictions.csv."""

    metrics: Figures
    predictions: pd.DataFrame
    judged: JudgedAges
    """The photos without age conflict; the top figures are about these."""
