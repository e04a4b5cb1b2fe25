"""evaluation: the result of an evaluation, the input of its figures and its page."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from models.evaluation.age_metrics import Figures, JudgedAges


@dataclass(frozen=True)
class Evaluation:
    """The result: figures for metrics.json, and a row per listed photo for predictions.csv and the page."""

    metrics: Figures
    predictions: pd.DataFrame
    judged: JudgedAges
    """The photos without age conflict; the top figures are about these."""
