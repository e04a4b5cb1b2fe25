"""openvino_engine: int8 networks on OpenVINO. It imports no TensorFlow and is ready in about a second.

The networks were made by `checkout-ages export`: they take (n, height, width, 3) uint8 RGB, as a camera gives it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OpenVinoNetwork:
    """Batches of (batch_size, side, side, 3) pixels ► (batch_size, 101 or 202) logits of each, a batch on each core."""

    def __init__(self, path: Path, image_size: int, batch_size: int, threads: int | None) -> None:
        """Compile the network for one shape. `threads` is how many batches run at a time; None takes every core."""
        import openvino

        network = compile_network(path, (batch_size, image_size, image_size, 3), threads)
        self._queue = openvino.AsyncInferQueue(network)
        self._queue.set_callback(_keep)

    def __call__(self, batches: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        logits: dict[int, NDArray[np.float32]] = {}
        for number, batch in enumerate(batches):
            self._queue.start_async([batch], (logits, number))
        self._queue.wait_all()
        return [logits[number] for number in range(len(batches))]


def compile_network(path: Path, shape: tuple[int, int, int, int], threads: int | None) -> Any:
    """Compile a network for (n, height, width, 3) pixels with one stream on each of `threads` cores, or of all.

    Threads are not pinned: Spark tasks side by side would pin theirs to the same core.
    """
    import openvino

    core = openvino.Core()
    network = core.read_model(path)
    network.reshape(list(shape))
    cores = threads or len(os.sched_getaffinity(0))
    options = {"INFERENCE_NUM_THREADS": cores, "NUM_STREAMS": cores, "ENABLE_CPU_PINNING": False}
    return core.compile_model(network, "CPU", options)


def _keep(request: Any, place: tuple[dict[int, NDArray[np.float32]], int]) -> None:
    logits, number = place
    logits[number] = request.get_output_tensor(0).data.copy()
