"""tensorflow_engine: run a version's networks on TensorFlow, the reference for the fast engine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.serving.age_network import load_age_network
from models.serving.age_resnet50 import years_as_logits
from models.serving.model_manifest import ModelManifest
from models.serving.model_versions import ModelFiles


class TensorFlowNetwork:
    """Maps batches of (batch_size, side, side, 3) pixels to their (batch_size, 101 or 202) logits."""

    def __init__(self, files: ModelFiles, manifest: ModelManifest, batch_size: int, threads: int | None) -> None:
        """Start TensorFlow (10–16 s in a fresh process). `threads` bounds its threads; None uses every core.

        The weights may lack arrays. These keep their initial values, and `missing` names them.
        """
        # TensorFlow reads this only while it is imported.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(f"this engine is TensorFlow, but KERAS_BACKEND is '{keras.backend.backend()}': unset it")
        if threads:
            _limit_threads(tf, threads)
        network, self.missing = load_age_network(files, manifest)
        side = manifest.image_size
        # One fixed shape: the graph is traced once, and a batch of another shape fails instead of tracing again.
        signature = [tf.TensorSpec((batch_size, side, side, 3), tf.uint8)]
        self._graph = tf.function(
            lambda pixels: network(tf.cast(pixels, tf.float32), training=False), input_signature=signature
        )

    def __call__(self, batches: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return [years_as_logits(self._graph(batch).numpy()) for batch in batches]


def _limit_threads(tf: Any, threads: int) -> None:
    """Bound TensorFlow's two thread pools (it ignores OMP_NUM_THREADS). After its first operation this does nothing."""
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
