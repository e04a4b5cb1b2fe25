"""keras_recipe: estimate photos like public recipes do: scale the whole photo with Pillow, then Keras `predict`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.serving.age_distribution import expected_age_years
from models.serving.age_estimator import calibrated, split_opinions
from models.serving.model_manifest import ModelManifest, read_manifest
from models.serving.model_versions import model_files
from tests.benchmarks.estimator import BATCH_SIZE, MODEL_VERSION


class KerasAges:
    """The network of the version in Keras, fp32; `load` it once per process.

    With `whole` it runs both networks, as the version does; without it, only ResNet50.
    """

    def __init__(self, threads: int, whole: bool = True) -> None:
        """Recipes leave the number of threads to TensorFlow. It is bounded here, so that workers do not compete."""
        manifest = read_manifest(MODEL_VERSION)
        self._manifest = manifest if whole else replace(manifest, second_opinion=None)
        self._network = load_keras_network(threads, self._manifest)

    def __call__(self, photos: Sequence[bytes]) -> NDArray[np.float64]:
        """Return the (n,) estimated ages, in years, of JPEG or PNG photos."""
        pixels = np.stack([self._pixels(photo) for photo in photos])
        logits = self._network.predict(pixels, batch_size=BATCH_SIZE, verbose=0)
        return expected_age_years(calibrated(split_opinions(logits), self._manifest))

    def _pixels(self, photo: bytes) -> NDArray[np.float32]:
        side = self._manifest.image_size
        with Image.open(io.BytesIO(photo)) as image:
            return np.asarray(image.convert("RGB").resize((side, side)), dtype=np.float32)


def load_keras_network(threads: int, manifest: ModelManifest | None = None) -> Any:
    """Build the network of the version with its weights, on TensorFlow with a bounded number of threads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from models.serving.age_network import load_age_network

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return load_age_network(model_files(MODEL_VERSION), manifest or read_manifest(MODEL_VERSION))[0]
