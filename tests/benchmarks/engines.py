"""engines: time the network on TensorFlow and OpenVINO, by precision, batch size, threads and photo size.

The pixels are noise, because no engine's speed depends on them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.serving.model_versions import WEIGHTS_FOLDER
from models.serving.openvino_engine import compile_exactly
from tests.benchmarks.estimator import MODEL_VERSION
from tests.benchmarks.job import Job, Ready, batches
from tests.benchmarks.keras_recipe import load_keras_network

KERAS_FP32 = "TensorFlow fp32"
ENGINES = (KERAS_FP32, "TensorFlow bf16", "OpenVINO fp32", "OpenVINO bf16", "OpenVINO int8")
INT8_NETWORK = WEIGHTS_FOLDER / MODEL_VERSION / "openvino_int8.xml"
PRECISIONS = {"OpenVINO fp32": "f32", "OpenVINO bf16": "bf16"}
SEED = 2026

Pixels = NDArray[np.uint8]
Predict = Callable[[Pixels], int]


@contextmanager
def exported_networks(job: Job) -> Iterator[Ready]:
    """Convert the Keras network for OpenVINO in its turn, into the file that the options name."""
    yield Ready(lambda: _export(Path(job.options["fp32_network"])))


@contextmanager
def engine(job: Job) -> Iterator[Ready]:
    """Load one engine. Each turn names photo size and batch size; all of these have run once before the first turn."""
    name, threads = job.options["engine"], job.options["threads"]
    is_keras = name.startswith("TensorFlow")
    prepare = _keras(name, threads) if is_keras else _openvino(name, threads, Path(job.options["fp32_network"]))
    cells = {(side, size): _Cell(prepare, side, size, job.options["seconds"]) for side, size in job.options["cells"]}
    yield Ready(lambda side, batch_size: cells[side, batch_size].run())


class _Cell:
    """One photo size and batch size, with as many photos as take about the wanted seconds."""

    def __init__(self, prepare: Callable[[int, int], Predict], side: int, batch_size: int, seconds: float) -> None:
        self._predict = prepare(side, batch_size)
        few = _noise(4 * batch_size, side)
        self._predict(few)
        started = time.perf_counter()
        self._predict(few)
        rounds = math.ceil(seconds / (time.perf_counter() - started))
        self._pixels = np.tile(few, (rounds, 1, 1, 1))

    def run(self) -> int:
        return self._predict(self._pixels)


def _keras(name: str, threads: int) -> Callable[[int, int], Predict]:
    """Return Keras `predict`. For bf16, an option makes TensorFlow's graph optimiser use oneDNN's.

    Source: Intel, "Getting Started with Mixed Precision Support in oneDNN Bfloat16".
    """
    network = load_keras_network(threads)
    if name != KERAS_FP32:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    return lambda side, batch_size: lambda pixels: len(network.predict(pixels, batch_size=batch_size, verbose=0))


def _openvino(name: str, threads: int, fp32_network: Path) -> Callable[[int, int], Predict]:
    """Return networks of a fixed shape, one stream per thread, run asynchronously, as OpenVINO advises for speed."""
    import openvino

    core = openvino.Core()
    properties = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
    if precision := PRECISIONS.get(name):
        properties["INFERENCE_PRECISION_HINT"] = precision

    def prepare(side: int, batch_size: int) -> Predict:
        network = core.read_model(fp32_network if precision else INT8_NETWORK)
        network.reshape([batch_size, side, side, 3])
        queue = openvino.AsyncInferQueue(compile_exactly(core, network, properties), threads)
        return lambda pixels: _queued(queue, pixels, batch_size)

    return prepare


def _queued(queue: Any, pixels: Pixels, batch_size: int) -> int:
    answered: list[int] = []
    queue.set_callback(lambda request, _: answered.append(len(request.get_output_tensor().data)))
    for batch in batches(len(pixels), batch_size):
        queue.start_async([pixels[batch]])
    queue.wait_all()
    return sum(answered)


def _export(path: Path) -> int:
    import openvino
    import tensorflow as tf

    network = load_keras_network(threads=2)
    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    graph = tf.function(lambda pixels: network(tf.cast(pixels, tf.float32), training=False), input_signature=signature)
    openvino.save_model(openvino.convert_model(graph), path, compress_to_fp16=False)
    return 1


def _noise(count: int, side: int) -> Pixels:
    return np.random.default_rng(SEED).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
