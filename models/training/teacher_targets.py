"""teacher_targets: another face network's answers on the training photos, as extra targets next to the labels.

A network that has seen millions of faces knows more about a face than one label tells. Its answers come as a file
(.npz) of plain arrays: `file_name` (n,), `age_probabilities` (n, 101), from heads that have not seen the photo's label,
and `embedding` (n, d). Training uses both as targets; the resulting version needs neither.
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
    """A teacher's answers on photos, by file name."""

    rows: dict[str, int]
    age_probabilities: NDArray[np.float32]
    """(n, 101)"""
    embedding: NDArray[np.float32]
    """(n, d), with a mean square of about 1: embedding_weight assumes that scale."""

    @property
    def embedding_size(self) -> int:
        """Length of the embedding."""
        return int(self.embedding.shape[1])

    def of(self, file_names: Sequence[str]) -> NDArray[np.float32]:
        """Return (len(file_names), 101 + d): probabilities of ages, then embedding.

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
    """Read a teacher's file. Raises ModelInputError if the file is not a teacher's."""
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
