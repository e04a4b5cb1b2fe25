"""age_loss_choices: which loss a head over years of age should learn by, judged on split `valid`.

    python -m tests.benchmarks.age_loss_choices --teacher teacher.npz --labels labels.csv

Small heads learn from what a teacher says of a face (`models.training.face_teacher`), its `embedding`: everything but
the loss is the same, and a head takes seconds where the network takes hours. Each loss gets several heads, from other
random weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.evaluation.bootstrap import GroupBootstrap
from models.faces.face_labels import ages_years, read_face_labels
from models.serving.age_distribution import (
    YEARS_OF_AGE,
    YOUNG_ADULTS_YEARS,
    expected_age_years,
    fit_temperature,
    probabilities,
)
from models.training.age_losses import LOSSES
from models.training.teacher_targets import read_teacher

HEADS = 3
EPOCHS = 16
BATCH_SIZE = 128
CHOSEN = "label_distribution"


@dataclass(frozen=True)
class Faces:
    """(n, d) descriptions, (n,) ages in years, (n,) groups of near duplicates."""

    described: NDArray[np.float32]
    ages_years: NDArray[np.int64]
    groups: NDArray[np.str_]


def main() -> None:
    """Train the heads and print their errors."""
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks.age_loss_choices",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    arguments = parser.parse_args()
    train, valid = (faces_of_split(arguments.teacher, arguments.labels, split) for split in ("train", "valid"))
    Console().print(loss_table({name: errors_years(loss, train, valid) for name, loss in LOSSES.items()}, valid))


def faces_of_split(teacher: Path, labels: Path, split: str) -> Faces:
    """Return the faces of a split without contradictory ages among near duplicates."""
    rows = read_face_labels(labels)
    rows = rows[(rows["split"] == split) & (rows["age_conflict"] == 0)]
    described = read_teacher(teacher).of(list(rows["file_name"]))[:, YEARS_OF_AGE:]
    return Faces(described, ages_years(rows), rows["group"].to_numpy("str"))


def errors_years(loss: Callable[..., Any], train: Faces, valid: Faces) -> NDArray[np.float64]:
    """Return the (HEADS, n) errors on `valid` of heads trained with `loss`."""
    return np.stack([_errors_of_head(loss, train, valid, seed) for seed in range(HEADS)])


def _errors_of_head(loss: Callable[..., Any], train: Faces, valid: Faces, seed: int) -> NDArray[np.float64]:
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(512, activation="gelu")
    head = keras.Sequential([keras.layers.Dropout(0.1), hidden, keras.layers.Dropout(0.5), keras.layers.Dense(101)])
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * len(train.ages_years) // BATCH_SIZE)
    head.compile(keras.optimizers.AdamW(schedule, weight_decay=0.05), loss=loss)
    head.fit(train.described, train.ages_years[:, None].astype("float32"), BATCH_SIZE, EPOCHS, verbose=0)
    logits = head.predict(valid.described, 1024, verbose=0)
    distribution = probabilities(logits, fit_temperature(logits, valid.ages_years))
    return expected_age_years(distribution) - valid.ages_years


def loss_table(errors: dict[str, NDArray[np.float64]], valid: Faces) -> Table:
    """Return MAE, bias of young adults and the paired difference in MAE to the chosen loss, with its 95 % interval."""
    first, last = YOUNG_ADULTS_YEARS
    is_young_adult = (valid.ages_years >= first) & (valid.ages_years <= last)
    bootstrap = GroupBootstrap(valid.groups)
    table = Table("loss", "MAE", f"bias {first}–{last}", f"MAE less that of {CHOSEN}", "95 %")
    for name, each in errors.items():
        difference = (np.abs(each) - np.abs(errors[CHOSEN])).mean(axis=0)
        ((low, high),) = bootstrap.mean_intervals(difference[:, None], np.ones(len(difference), dtype=bool))
        table.add_row(
            *(name, f"{np.abs(each).mean():.2f}", f"{each[:, is_young_adult].mean():+.1f}"),
            *(f"{difference.mean():+.2f}", f"{low:+.2f} to {high:+.2f}"),
        )
    return table


if __name__ == "__main__":
    main()
