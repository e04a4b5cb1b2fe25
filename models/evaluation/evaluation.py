"""evaluation: what an evaluation found, as the figures and the page of it take it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from models.evaluation.age_metrics import Figures, JudgedAges


@dataclass(frozen=True)
class Evaluation:
    """What came out: figures for metrics.json, and a row per listed photo for predictions.csv and the page."""

    metrics: Figures
    predictions: pd.DataFrame
    judged: JudgedAges
    """The photos without age conflict, which the figures at the top are of."""
