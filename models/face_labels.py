"""face_labels: which photo shows a person of which age, and which split it belongs to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.age_distribution import YEARS_OF_AGE

UTKFACE_NAME = re.compile(r"^(?P<age>\d{1,3})_[^/]*\.(jpe?g|png)$", re.IGNORECASE)


def read_face_labels(labels: Path) -> pd.DataFrame:
    """Read a CSV with `file_name,real_age` and, where it has them, `split` and `age_conflict`.

    `split` is train, valid or test. `age_conflict` = 1 marks near-duplicate photos whose labels disagree.
    Raises ValueError naming the first column that is missing.
    """
    faces = pd.read_csv(labels)
    for column in ("file_name", "real_age"):
        if column not in faces.columns:
            raise ValueError(f"labels file '{labels}' has no column '{column}'; it has {list(faces.columns)}")
    if "split" not in faces.columns:
        faces["split"] = _split_by_row(len(faces))
    if "age_conflict" not in faces.columns:
        faces["age_conflict"] = 0
    return faces


def ages_years(faces: pd.DataFrame) -> NDArray[np.int64]:
    """Return the (n,) ages as the network counts them: over 100 is 100."""
    ages: NDArray[np.int64] = faces["real_age"].clip(0, YEARS_OF_AGE - 1).to_numpy("int64")
    return ages


def find_labelled_faces(folder: Path) -> pd.DataFrame:
    """List `file_name,real_age` of a folder: from its labels.csv, else from UTKFace file names (`AGE_….jpg`).

    Raises ValueError when the folder has neither.
    """
    if (folder / "labels.csv").exists():
        faces = read_face_labels(folder / "labels.csv")
        return faces.loc[[(folder / name).exists() for name in faces["file_name"]], ["file_name", "real_age"]]
    named = [
        (str(path.relative_to(folder)), int(match["age"]))
        for path in sorted(folder.rglob("*"))
        if (match := UTKFACE_NAME.match(path.name))
    ]
    if not named:
        raise ValueError(
            f"folder '{folder}' has neither a labels.csv with file_name,real_age nor photos named like UTKFace"
        )
    return pd.DataFrame(named, columns=["file_name", "real_age"])


def _split_by_row(count: int) -> list[str]:
    """Eight of ten rows train, one is valid, one is test."""
    return [{8: "valid", 9: "test"}.get(row % 10, "train") for row in range(count)]
