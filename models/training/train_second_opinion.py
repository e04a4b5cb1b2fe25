"""train_second_opinion: train the head that estimates ages from the small face network's descriptions.

The network itself stays unchanged. It describes each photo of split `train`, as it is and mirrored. On these
descriptions five heads are trained (`face_heads`). They are written as one head, which gives the mean of their logits
and includes the scaling of descriptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.serving.age_resnet50 import Weights, write_weights
from models.serving.face_network import HEAD_LAYERS, load_face_network
from models.serving.model_versions import face_network_path
from models.training.face_heads import is_trained_on, trained_heads
from models.training.face_pixels import network_pixels

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 64
LEAST_SPREAD = 1e-3
"""Added to the standard deviation of each number of a description, because some hardly vary."""

Floats = NDArray[np.float32]


def train_second_opinion(faces: pd.DataFrame, images: Path, image_size: int, side_pixels: int, out: Path) -> None:
    """Train the head on the photos of split `train` in `faces` and write it to the file `out`.

    Photos are cut to `image_size` as for ResNet50, then scaled to `side_pixels`, just as at inference.
    """
    training = faces[is_trained_on(faces)].reset_index(drop=True)
    network = load_face_network(face_network_path(), side_pixels)
    described = descriptions(network, list(training["file_name"]), images, image_size)
    mean, spread = described.mean(axis=(0, 1)), described.std(axis=(0, 1)) + LEAST_SPREAD
    heads = trained_heads((described - mean) / spread, training)
    write_weights(merged(heads, mean, spread), out)


def descriptions(network: keras.Model, file_names: Sequence[str], images: Path, image_size: int) -> Floats:
    """Return the face network's description, a vector, of each photo as it is and mirrored: (n, 2, 1024) numbers."""
    described = []
    for at in range(0, len(file_names), BATCH_SIZE):
        if at % (50 * BATCH_SIZE) == 0:
            print(f"describing photo {at} of {len(file_names)}", flush=True)
        pixels = network_pixels(images, file_names[at : at + BATCH_SIZE], image_size)
        views = (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))
        described.append(np.stack([network.predict_on_batch(view) for view in views], axis=1))
    return np.concatenate(described).astype("float32")


def merged(heads: Sequence[keras.Model], mean: Floats, spread: Floats) -> Weights:
    """Combine several trained heads into one, which gives the mean of their logits, and return its weights by name.

    The result fits `face_network.build_head`. `mean` and `spread`, (d,) each, are those with which the face
    descriptions were standardised when the heads were trained.
    """
    parts = [[np.asarray(array, "float64") for array in head.get_weights()] for head in heads]
    # (x - mean) / spread @ kernel + bias is linear in x, so the scaling can be part of kernel and bias.
    hidden = [(kernel / spread[:, None], bias - (mean / spread) @ kernel) for kernel, bias, _, _ in parts]
    first, second = HEAD_LAYERS
    # Hidden units of all heads next to each other; the second layer, divided by their number, adds up to the mean.
    return {
        f"{first}/kernel:0": np.concatenate([kernel for kernel, _ in hidden], axis=1).astype("float16"),
        f"{first}/bias:0": np.concatenate([bias for _, bias in hidden]).astype("float32"),
        f"{second}/kernel:0": (np.concatenate([part[2] for part in parts]) / len(parts)).astype("float16"),
        f"{second}/bias:0": np.mean([part[3] for part in parts], axis=0).astype("float32"),
    }
