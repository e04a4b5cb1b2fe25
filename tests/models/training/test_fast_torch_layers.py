import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from models.training.fast_torch_layers import _batch_normalization, use_torch_kernels

COMPARE = """
import json, keras, numpy as np
from models.serving.age_resnet50 import build_age_resnet50
from models.training.fast_torch_layers import use_torch_kernels

network = build_age_resnet50()
photos = np.random.default_rng(1).integers(0, 256, (2, 40, 40, 3)).astype("float32")
outputs = lambda training: network(photos, training=training).detach().numpy()
plain = [outputs(training=True), outputs(training=False)]
use_torch_kernels(network)
fast = [outputs(training=False), outputs(training=True)][::-1]
print(json.dumps([float(np.abs(p - f).max() / np.abs(p).max()) for p, f in zip(plain, fast)]))
"""


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is an optional training engine")


@pytest.fixture
def layer(torch: Any) -> SimpleNamespace:
    values = {"moving_mean": [1.0, 2.0], "moving_variance": [4.0, 9.0], "gamma": [1.0, 2.0], "beta": [0.0, 5.0]}
    return SimpleNamespace(
        **{name: SimpleNamespace(value=torch.tensor(value)) for name, value in values.items()},
        momentum=0.75,
        epsilon=1e-12,
        trainable=True,
    )


PIXELS = [[[[3.0, 5.0]], [[7.0, 9.0]]]]


def test_inference_takes_the_moving_statistics_and_leaves_them(layer: SimpleNamespace, torch: Any) -> None:
    outputs = _batch_normalization(layer, torch.tensor(PIXELS), training=False)
    assert outputs.ravel().tolist() == pytest.approx([1.0, 7.0, 3.0, 29 / 3])
    assert layer.moving_mean.value.tolist() == [1.0, 2.0]


def test_training_takes_the_statistics_of_the_batch_and_moves_the_moving_ones(
    layer: SimpleNamespace, torch: Any
) -> None:
    outputs = _batch_normalization(layer, torch.tensor(PIXELS), training=True)
    assert outputs.ravel().tolist() == pytest.approx([-1.0, 3.0, 1.0, 7.0])
    assert layer.moving_mean.value.tolist() == [2.0, 3.25]
    assert layer.moving_variance.value.tolist() == [5.0, 8.75]


def test_a_frozen_layer_keeps_its_statistics_in_training(layer: SimpleNamespace, torch: Any) -> None:
    layer.trainable = False
    _batch_normalization(layer, torch.tensor(PIXELS), training=True)
    assert layer.moving_mean.value.tolist() == [1.0, 2.0]


@pytest.mark.usefixtures("torch")
def test_the_whole_network_gives_what_it_gave() -> None:
    """A Keras process has one backend, so the torch one is another process."""
    run = subprocess.run(
        [sys.executable, "-c", COMPARE], env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, check=True
    )
    training, inference = json.loads(run.stdout.splitlines()[-1])
    assert inference < 1e-3
    assert training < 1e-2


def test_tensorflow_keeps_its_own() -> None:
    import keras

    network = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.BatchNormalization()])
    use_torch_kernels(network)
    assert network.layers[0].call.__func__ is keras.layers.BatchNormalization.call
