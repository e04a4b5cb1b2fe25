"""keras_recipe: how public recipes estimate photos: the whole photo scaled with Pillow, then Keras `predict`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.age_distribution import expected_age_years, probabilities
from models.model_manifest import read_manifest
from models.weights import model_files
from tests.benchmarks.estimator import BATCH_SIZE, MODEL_VERSION


class KerasAges:
    """The network of the version in Keras, fp32; `load` it once per process.

    With `mirrored` it sees each photo and its mirror image, as the version does; without, each photo once.
    """

    def __init__(self, threads: int, mirrored: bool = True) -> None:
        """Recipes leave TensorFlow its own number of threads; bounding it spares workers side by side a fight."""
        self._network = load_keras_network(threads)
        self._manifest = read_manifest(MODEL_VERSION)
        self._is_mirrored = mirrored and self._manifest.mirrored

    def __call__(self, photos: Sequence[bytes]) -> NDArray[np.float64]:
        """Return the (n,) estimated ages in years of photos as JPEG or PNG."""
        pixels = np.stack([self._pixels(photo) for photo in photos])
        logits = self._predict(pixels)
        if self._is_mirrored:
            logits = (logits + self._predict(pixels[:, :, ::-1])) / 2
        return expected_age_years(probabilities(logits, self._manifest.temperature))

    def _predict(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._network.predict(pixels, batch_size=BATCH_SIZE, verbose=0)

    def _pixels(self, photo: bytes) -> NDArray[np.float32]:
        side = self._manifest.image_size
        with Image.open(io.BytesIO(photo)) as image:
            return np.asarray(image.convert("RGB").resize((side, side)), dtype=np.float32)


def load_keras_network(threads: int) -> Any:
    """Build the network of the version with its weights, on TensorFlow with a bounded number of threads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from models.age_resnet50 import build_age_resnet50, load_weights, read_weights

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    network = build_age_resnet50()
    load_weights(network, read_weights(model_files(MODEL_VERSION).weights))
    return network
