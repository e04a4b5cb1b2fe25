"""openvino_engine: run int8 networks on OpenVINO, without TensorFlow. It is ready in about a second.

`checkout-ages export` made the networks. They take (n, height, width, 3) uint8 RGB, without any preprocessing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OpenVinoNetwork:
    """Maps batches of (batch_size, side, side, 3) pixels to (batch_size, 101 or 202) logits, one batch on each core."""

    def __init__(self, path: Path, image_size: int, batch_size: int, threads: int | None) -> None:
        """Compile the network for one shape. `threads` is the number of batches that run at once; None: every core."""
        import openvino

        network = compile_network(path, (batch_size, image_size, image_size, 3), threads)
        self._queue = openvino.AsyncInferQueue(network)
        self._queue.set_callback(_keep)

    def __call__(self, batches: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        logits: dict[int, NDArray[np.float32]] = {}  # by number, because batches finish in any order
        for number, batch in enumerate(batches):
            self._queue.start_async([batch], (logits, number))
        self._queue.wait_all()
        return [logits[number] for number in range(len(batches))]


def compile_network(path: Path, shape: tuple[int, int, int, int], threads: int | None) -> Any:
    """Compile a network for (n, height, width, 3) pixels, with one stream on each of `threads` cores; None: all cores.

    Threads are not pinned, because the processes of several Spark tasks would pin theirs to the same core.
    """
    import openvino

    core = openvino.Core()
    network = core.read_model(path)
    network.reshape(list(shape))
    # The cores of this process, not of the machine: a container's cpuset may allow fewer.
    cores = threads or len(os.sched_getaffinity(0))
    options = {"INFERENCE_NUM_THREADS": cores, "NUM_STREAMS": cores, "ENABLE_CPU_PINNING": False}
    return core.compile_model(network, "CPU", options)


def _keep(request: Any, place: tuple[dict[int, NDArray[np.float32]], int]) -> None:
    logits, number = place
    logits[number] = request.get_output_tensor(0).data.copy()  # the next batch of this request overwrites the data
