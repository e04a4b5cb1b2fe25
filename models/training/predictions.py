"""predictions: estimate labelled photos with a model version, to calibrate or to evaluate it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.errors import ModelInputError
from models.serving.age_distribution import Floats, disagreement_years
from models.serving.age_estimator import ESTIMATED, AgeEstimator, calibrated
from models.serving.photo_preprocessing import Pixels, UnusablePhotoError
from models.training.photo_traits import PhotoTraits, photo_traits

ALL_SPLITS = "all"
CHUNK_PHOTOS = 256
LOOKED_AT_COLUMNS = ["estimate_status", "estimate_reason", *PhotoTraits.__annotations__]


def faces_of_split(faces: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rows of `split`, or every row for 'all'. Raises ModelInputError for a split without rows."""
    chosen = faces if split == ALL_SPLITS else faces[faces["split"] == split]
    if chosen.empty:
        known = ", ".join(sorted(faces["split"].astype(str).unique())) or "none"
        raise ModelInputError(f"the labels have no photo of split '{split}': name one of {known} or {ALL_SPLITS}")
    return chosen.reset_index(drop=True)


def distributions_of_split(
    estimator: AgeEstimator, faces: pd.DataFrame, images: Path, split: str
) -> tuple[pd.DataFrame, Floats]:
    """Estimate the photos of a split. Return rows with an estimate and no age conflict, and their distributions.

    Raises ModelInputError as `evaluate_version` does.
    """
    predictions, distributions, _ = predicted(estimator, faces_of_split(faces, split), images)
    is_estimated = predictions["estimate_status"] == ESTIMATED
    estimated = predictions[is_estimated]
    check_usable(estimated, predictions, images)
    agreed = (estimated["age_conflict"] == 0).to_numpy()
    return estimated[agreed], distributions[agreed]


def predicted(estimator: AgeEstimator, faces: pd.DataFrame, images: Path) -> tuple[pd.DataFrame, Floats, Floats]:
    """Estimate listed photos: return a row for each, and plain and mirrored distributions of the estimated ones."""
    rows: list[dict[str, Any]] = []
    plain, mirrored = [], []
    apart: list[float] = []
    for at in range(0, len(faces), CHUNK_PHOTOS):
        chunk: list[Pixels] = []
        for file_name in faces["file_name"].iloc[at : at + CHUNK_PHOTOS]:
            row, pixels = _looked_at(estimator, images / file_name)
            rows.append(row)
            chunk += [] if pixels is None else [pixels]
        if chunk:
            opinions = estimator.opinions(np.stack(chunk))
            plain.append(calibrated(opinions, estimator.manifest))
            apart += disagreement_years(*opinions).tolist() if len(opinions) > 1 else []
            sees_both = estimator.manifest.mirrored
            mirrored.append(plain[-1] if sees_both else estimator.estimate_pixels(np.stack(chunk)[:, :, ::-1]))
    predictions = pd.concat([faces, pd.DataFrame(rows, columns=LOOKED_AT_COLUMNS, index=faces.index)], axis=1)
    predictions["disagreement_years"] = np.nan
    if apart:
        predictions.loc[predictions["estimate_status"] == ESTIMATED, "disagreement_years"] = apart
    # `np.concatenate` needs at least one array, also if no photo could be estimated.
    none = estimator.estimate_pixels(np.empty((0, 1, 1, 3), dtype=np.uint8))
    return predictions, np.concatenate([none, *plain]), np.concatenate([none, *mirrored])


def _looked_at(estimator: AgeEstimator, photo: Path) -> tuple[dict[str, Any], Pixels | None]:
    try:
        face = estimator.read_face(photo.read_bytes())
    except FileNotFoundError:
        return {"estimate_status": "missing", "estimate_reason": "there is no such file"}, None
    except OSError as error:
        return {"estimate_status": "unreadable", "estimate_reason": str(error.strerror)}, None
    except UnusablePhotoError as unusable:
        return {"estimate_status": unusable.status, "estimate_reason": unusable.reason}, None
    return {"estimate_status": ESTIMATED, **asdict(photo_traits(face))}, face.pixels


def check_usable(estimated: pd.DataFrame, predictions: pd.DataFrame, images: Path) -> None:
    if estimated.empty:
        first = predictions.iloc[0]
        raise ModelInputError(
            f"none of the {len(predictions)} photos below '{images}' can be used (first '{first['file_name']}': "
            f"{first['estimate_reason']}): name the folder that their file names start from"
        )
    if (estimated["age_conflict"] != 0).all():
        raise ModelInputError(
            f"each of the {len(estimated)} photos has a near duplicate with another age: correct the labels or their "
            "column 'age_conflict'"
        )
