"""openvino_engine: run int8 networks on OpenVINO, without TensorFlow. It is ready in about a second.

`checkout-ages export` made the networks. They take (n, height, width, 3) uint8 RGB, without any preprocessing.

A network says the same on every processor. Those without instructions for dot products of 8-bit numbers (VNNI, on x86)
add two products in 16 bits, which cuts large sums off. There the network would say other ages without a word. So its
8-bit values are computed with as floats there, which takes twice the time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT8_VALUES_AS_FLOATS = {"LP_TRANSFORMS_MODE": False}
"""OpenVINO's option to leave out its low-precision transformations: quantised values are then computed with as floats.

The answers are those of int8 arithmetic, but for the rounding of floats.
"""

CHANNELS = 32
"""Enough 8-bit numbers for a whole vector register."""


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
    return compile_exactly(core, network, options)


def compile_exactly(core: Any, network: Any, options: dict[str, Any]) -> Any:
    """Compile a quantised network for this processor, so that it answers as on all others."""
    from openvino.passes import ConstantFolding, Manager

    if adds_int8_exactly():
        return core.compile_model(network, "CPU", options)
    # OpenVINO 2026.4 answers wrongly for some batch sizes if it scales the weights to floats while it runs.
    folded, passes = network.clone(), Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(folded)
    return core.compile_model(folded, "CPU", options | INT8_VALUES_AS_FLOATS)


@cache
def adds_int8_exactly() -> bool:
    """Return whether this processor adds products of 8-bit numbers without cutting large sums off.

    One convolution with the largest pixels and weights is computed, because that says more than a list of processors.
    """
    return _sum_of_largest_products({}) == _sum_of_largest_products(INT8_VALUES_AS_FLOATS)


def _sum_of_largest_products(options: dict[str, bool]) -> float:
    import openvino
    from openvino import opset13

    pixels = opset13.parameter([1, CHANNELS, 1, 1], np.float32)
    quantised = opset13.fake_quantize(pixels, *np.array([0, 255, 0, 255], np.float32), levels=256)
    # Weights in the form that quantised networks have: 8-bit numbers and a scale. Only then are they computed as such.
    numbers = opset13.convert(opset13.constant(np.full((CHANNELS, CHANNELS, 1, 1), 127, np.int8)), np.float32)
    weights = opset13.multiply(numbers, opset13.constant(np.ones((CHANNELS, 1, 1, 1), np.float32)))
    sums = opset13.convolution(quantised, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    network = openvino.Core().compile_model(openvino.Model([sums], [pixels]), "CPU", options)
    answer = network([np.full((1, CHANNELS, 1, 1), 255, np.float32)])[0]
    return float(answer[0, 0, 0, 0])


def _keep(request: Any, place: tuple[dict[int, NDArray[np.float32]], int]) -> None:
    logits, number = place
    logits[number] = request.get_output_tensor(0).data.copy()  # the next batch of this request overwrites the data
