"""face_labels: which photo shows a person of which age, which photos belong together, and which split they are in."""

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
"""Of ten groups of near duplicates, eight train, one is valid, one is test."""


def read_face_labels(labels: Path | None, images: Path | None = None) -> pd.DataFrame:
    """Return one row per labelled photo: file_name, real_age, group, split, age_conflict and what else the CSV has.

    Without `labels` they come from IMAGES/labels.csv, else from UTKFace file names (`AGE_….jpg`) below `images`.
    Photos of one `group` are near duplicates; `split` is train, valid or test and never parts a group;
    `age_conflict` = 1 marks groups whose ages disagree. What a CSV lacks of these three is made here, groups from the
    photos, where `images` are given. Raises ModelInputError naming what is missing or cannot be read.
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
    """Return the split of a group of near duplicates, the same in every run and whatever else is in the folder."""
    return SPLITS.get(int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10, "train")


def ages_years(faces: pd.DataFrame) -> NDArray[np.int64]:
    """Return the (n,) ages as the network counts them: over 100 is 100."""
    ages: NDArray[np.int64] = faces["real_age"].clip(0, YEARS_OF_AGE - 1).to_numpy("int64")
    return ages


def find_labelled_faces(folder: Path) -> pd.DataFrame:
    """List `file_name,real_age` of the photos that are in a folder, labelled as `read_face_labels` says.

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
            f"{OLDEST_AGE_YEARS}: mend or remove the row"
        )
    return numbers.round().astype("int64")


def _groups(faces: pd.DataFrame, images: Path | None) -> list[str]:
    """Name each group of near duplicates by the first of its files, so that the name outlives other photos."""
    if images is None:
        return list(faces["file_name"])
    from models.faces.near_duplicates import near_duplicate_groups

    groups = pd.Series(near_duplicate_groups(images, list(faces["file_name"])), index=faces.index)
    return list(faces.groupby(groups)["file_name"].transform("min"))
