from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13

from models.serving import openvino_engine
from models.serving.model_versions import OPENVINO_NETWORK, WEIGHTS_FOLDER
from models.serving.openvino_engine import CHANNELS, OpenVinoNetwork, adds_int8_exactly, compile_exactly

PHOTOS = np.random.default_rng(1).integers(0, 256, (64, 112, 112, 3), dtype=np.uint8)
NETWORK = WEIGHTS_FOLDER / "age_resnet50-4" / OPENVINO_NETWORK


def layer(weight: int) -> openvino.Model:
    """A quantised layer that adds the products of its pixels and one weight."""
    pixels = opset13.parameter([1, CHANNELS, 1, 1], np.float32)
    quantised = opset13.fake_quantize(pixels, *np.array([0, 255, 0, 255], np.float32), levels=256)
    numbers = opset13.convert(opset13.constant(np.full((CHANNELS, CHANNELS, 1, 1), weight, np.int8)), np.float32)
    weights = opset13.multiply(numbers, opset13.constant(np.ones((CHANNELS, 1, 1, 1), np.float32)))
    sums = opset13.convolution(quantised, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    return openvino.Model([sums], [pixels])


@pytest.mark.parametrize("weight", [127, -127, 90, 3])
@pytest.mark.parametrize("pixel", [255, 130, 0])
def test_a_quantised_layer_adds_its_products_without_cutting_large_sums_off(weight: int, pixel: int) -> None:
    network = compile_exactly(openvino.Core(), layer(weight), {})
    (sums,) = network([np.full((1, CHANNELS, 1, 1), pixel, np.float32)]).values()
    assert sums.ravel().tolist() == [CHANNELS * weight * pixel] * CHANNELS


def test_large_sums_are_found_to_be_cut_off_where_they_are() -> None:
    (sums,) = openvino.Core().compile_model(layer(127), "CPU")([np.full((1, CHANNELS, 1, 1), 255, np.float32)]).values()
    assert adds_int8_exactly() == (sums[0, 0, 0, 0] == CHANNELS * 127 * 255)


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (32, 2), (16, 2), (8, 2)])
def test_a_network_computed_with_floats_says_the_same_in_batches_of_any_size(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, threads: int
) -> None:
    monkeypatch.setattr(openvino_engine, "adds_int8_exactly", lambda: False)
    expected = logits(OpenVinoNetwork(NETWORK, 112, 16, 1), 16)
    said = logits(OpenVinoNetwork(NETWORK, 112, batch_size, threads), batch_size)
    assert np.abs(said - expected).mean() < 0.05


def logits(network: Any, batch_size: int) -> NDArray[np.float32]:
    return np.concatenate(network([PHOTOS[start : start + batch_size] for start in range(0, len(PHOTOS), batch_size)]))
