"""face_labels: read the labels of face photos: age, group of near duplicates, and split."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import ModelInputError
from models.serving.age_distribution import YEARS_OF_AGE

UTKFACE_NAME = re.compile(r"^(?P<age>\d{1,3})_[^/]*\.(jpe?g|png)$", re.IGNORECASE)
OLDEST_AGE_YEARS = 130
SPLITS = {8: "valid", 9: "test"}
"""The last decimal digit of a group's hash ► its split: of ten groups eight are train, one is valid, one is test.
A change mixes photos of committed versions' training into the test."""


def read_face_labels(labels: Path | None, images: Path | None = None) -> pd.DataFrame:
    """Return one row per labelled photo: file_name, real_age, group, split, age_conflict and the CSV's other columns.

    Without `labels` they come from IMAGES/labels.csv, or else from UTKFace file names (`AGE_….jpg`) in `images`.
    Photos of one `group` are near duplicates. `split` is train, valid or test, and a group is never divided.
    `age_conflict` = 1 marks groups with contradictory ages. If the CSV lacks one of these three columns, it is made
    here, groups from the photos if `images` are given. Raises ModelInputError naming what is missing or unreadable.
    """
    faces = _read_csv(labels) if labels else _labels_of_folder(images)
    if "group" not in faces.columns:
        faces["group"] = _groups(faces, images)
    if "split" not in faces.columns:
        faces["split"] = [split_of_group(str(group)) for group in faces["group"]]
    if "age_conflict" not in faces.columns:
        faces["age_conflict"] = (faces.groupby("group")["real_age"].transform("nunique") > 1).astype(int)
    return faces


def split_of_group(group: str) -> str:
    """Return the split of a group of near duplicates. It depends on the group's name only, so it never changes."""
    return SPLITS.get(int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10, "train")


def ages_years(faces: pd.DataFrame) -> NDArray[np.int64]:
    """Return the (n,) ages in the network's range: over 100 counts as 100."""
    ages: NDArray[np.int64] = faces["real_age"].clip(0, YEARS_OF_AGE - 1).to_numpy("int64")
    return ages


def find_labelled_faces(folder: Path) -> pd.DataFrame:
    """List `file_name,real_age` of the labelled photos that exist in a folder; see `read_face_labels` for its labels.

    Raises ModelInputError when the folder has no labels.
    """
    faces = _labels_of_folder(folder)
    return faces.loc[[(folder / name).exists() for name in faces["file_name"]], ["file_name", "real_age"]]


def _labels_of_folder(folder: Path | None) -> pd.DataFrame:
    if folder is None:
        raise ModelInputError("neither labels nor a folder of photos are given: name one of them")
    if (folder / "labels.csv").exists():
        return _read_csv(folder / "labels.csv")
    named = [
        (str(path.relative_to(folder)), int(match["age"]))
        for path in sorted(folder.rglob("*"))
        if (match := UTKFACE_NAME.match(path.name))
    ]
    if not named:
        raise ModelInputError(
            f"folder '{folder}' has neither a labels.csv with file_name,real_age nor photos named like UTKFace"
        )
    return pd.DataFrame(named, columns=["file_name", "real_age"])


def _read_csv(labels: Path) -> pd.DataFrame:
    try:
        # As text, because pandas would turn names such as 007 into numbers.
        faces = pd.read_csv(labels, dtype={"file_name": "string", "group": "string"})
    except FileNotFoundError:
        raise ModelInputError(f"labels file '{labels}' does not exist: name a CSV with file_name,real_age") from None
    except (ValueError, OSError) as error:
        raise ModelInputError(f"labels file '{labels}' cannot be read as CSV: {error}") from error
    for column in ("file_name", "real_age"):
        if column not in faces.columns:
            raise ModelInputError(f"labels file '{labels}' has no column '{column}'; it has {list(faces.columns)}")
    faces["file_name"] = faces["file_name"].astype(object)
    faces["real_age"] = _ages(faces["real_age"], labels)
    return faces


def _ages(ages: pd.Series, labels: Path) -> pd.Series:
    numbers = pd.to_numeric(ages, errors="coerce")
    wrong = ages[~numbers.between(0, OLDEST_AGE_YEARS)]
    if len(wrong):
        raise ModelInputError(
            f"labels file '{labels}', row {wrong.index[0] + 1}: real_age '{wrong.iloc[0]}' is no age from 0 to "
            f"{OLDEST_AGE_YEARS}: correct or remove the row"
        )
    return numbers.round().astype("int64")


def _groups(faces: pd.DataFrame, images: Path | None) -> list[str]:
    """Name each group of near duplicates by the first of its files, so that other photos do not change the name."""
    if images is None:
        return list(faces["file_name"])
    from models.faces.near_duplicates import near_duplicate_groups

    groups = pd.Series(near_duplicate_groups(images, list(faces["file_name"])), index=faces.index)
    return list(faces.groupby(groups)["file_name"].transform("min"))
