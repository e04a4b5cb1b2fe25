"""face_heads: train heads over years of age on a face network's descriptions, each on four fifths of split `train`.

Each photo of `train` can be judged by a head that has seen neither its label nor that of a near duplicate. The mean of
the five heads is closer to the truth than one head trained on all photos.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.faces.face_labels import ages_years
from models.serving.age_distribution import YEARS_OF_AGE

if TYPE_CHECKING:
    import keras

HEADS = 5
HEAD_EPOCHS = 22
HEAD_BATCH_SIZE = 128
HEAD_SIZE = 512
SEED = 2026

Floats = NDArray[np.float32]


def is_trained_on(faces: pd.DataFrame) -> NDArray[np.bool_]:
    """Return a mask of the photos that the heads learn from: those of split `train` without contradictory ages."""
    return ((faces["split"] == "train") & (faces["age_conflict"] == 0)).to_numpy()


def fold_of(groups: Iterable[object]) -> NDArray[np.int64]:
    """Return, for each of n photos, the number of the head that must not learn from it or its near duplicates."""
    digests = [hashlib.sha256(str(group).encode()).hexdigest() for group in groups]
    # The last decimal digit chooses the split, so within a split it would not divide the photos evenly.
    return np.array([int(digest, 16) // 10 % HEADS for digest in digests])


def trained_heads(descriptions: Floats, faces: pd.DataFrame, size: int = HEAD_SIZE) -> list[keras.Model]:
    """Train HEADS heads: small networks from a face description to an age distribution, each without one fold.

    `descriptions` is (n, 2, d): for each of n photos, the standardised descriptions of the face and of its mirror.
    """
    trained_on, fold, ages = is_trained_on(faces), fold_of(faces["group"]), ages_years(faces)
    heads = []
    for number in range(HEADS):
        own = trained_on & (fold != number)
        heads.append(_trained_head(descriptions[own], ages[own], size, SEED + number))
        print(f"head {number + 1} of {HEADS}", flush=True)
    return heads


def _trained_head(descriptions: Floats, ages: NDArray[np.int64], size: int, seed: int) -> keras.Model:
    import keras

    from models.training.age_losses import label_distribution

    keras.utils.set_random_seed(seed)
    head = keras.Sequential(
        [
            keras.layers.Dropout(0.3),
            keras.layers.Dense(size, activation="gelu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(YEARS_OF_AGE),
        ]
    )
    photos = descriptions.reshape(-1, descriptions.shape[2])  # each photo twice: as it is and mirrored
    epochs = HEAD_EPOCHS // 2  # so each photo is seen HEAD_EPOCHS times
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, max(1, epochs * len(photos) // HEAD_BATCH_SIZE))
    head.compile(keras.optimizers.AdamW(schedule, weight_decay=0.05), loss=label_distribution, jit_compile=False)
    head.fit(photos, np.repeat(ages, 2)[:, None], HEAD_BATCH_SIZE, epochs, verbose=0)
    return head
