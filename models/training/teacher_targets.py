"""teacher_targets: what another face network says of the photos that train ours, beside their labels.

A network that has seen millions of faces knows more of a face than one label says. What it says of the training photos
comes as a file (.npz) of plain arrays: `file_name` (n,), `age_probabilities` (n, 101), by heads that have not seen the
photo's label, and `embedding` (n, d). Training draws towards both; the version that comes of it needs neither.
Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; Romero et al. 2015, "FitNets".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelInputError
from models.serving.age_distribution import YEARS_OF_AGE

NEEDED = ("file_name", "age_probabilities", "embedding")


@dataclass(frozen=True)
class TeacherTargets:
    """A teacher's words on photos, by file name."""

    rows: dict[str, int]
    age_probabilities: NDArray[np.float32]
    """(n, 101)"""
    embedding: NDArray[np.float32]
    """(n, d), of mean square 1 or so."""

    @property
    def embedding_size(self) -> int:
        """How many numbers describe a face."""
        return int(self.embedding.shape[1])

    def of(self, file_names: Sequence[str]) -> NDArray[np.float32]:
        """Return (len(file_names), 101 + d): probabilities of the ages and embedding.

        Raises ModelInputError for a photo that the teacher has not seen.
        """
        unseen = [name for name in file_names if name not in self.rows]
        if unseen:
            raise ModelInputError(
                f"the teacher says nothing of {len(unseen)} photos, as '{unseen[0]}': make its file from these photos"
            )
        rows = [self.rows[name] for name in file_names]
        return np.concatenate([self.age_probabilities[rows], self.embedding[rows]], axis=1)


def read_teacher(path: Path) -> TeacherTargets:
    """Read a teacher's file. Raises ModelInputError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, probabilities, embedding = (arrays[name] for name in NEEDED)
    except (OSError, ValueError, KeyError) as error:
        raise ModelInputError(
            f"teacher file '{path}' cannot be read: {error}; it is an .npz with {', '.join(NEEDED)}"
        ) from error
    if probabilities.shape != (len(names), YEARS_OF_AGE) or embedding.shape[:1] != (len(names),):
        raise ModelInputError(
            f"teacher file '{path}' has {len(names)} photos, age_probabilities of shape {probabilities.shape} and "
            f"embedding of shape {embedding.shape}: it needs a row of {YEARS_OF_AGE} ages for each photo"
        )
    rows = {str(name): row for row, name in enumerate(names)}
    return TeacherTargets(rows, probabilities.astype("float32"), embedding.astype("float32"))
