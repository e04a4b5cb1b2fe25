from types import SimpleNamespace

import pytest

from models.fused_batch_normalization import _torch_batch_normalization, fuse_batch_normalization

torch = pytest.importorskip("torch", reason="PyTorch is an optional training engine")


@pytest.fixture
def layer():
    values = {"moving_mean": [1.0, 2.0], "moving_variance": [4.0, 9.0], "gamma": [1.0, 2.0], "beta": [0.0, 5.0]}
    return SimpleNamespace(
        **{name: SimpleNamespace(value=torch.tensor(value)) for name, value in values.items()},
        momentum=0.75,
        epsilon=1e-12,
    )


PIXELS = [[[[3.0, 5.0]], [[7.0, 9.0]]]]


def test_inference_takes_the_moving_statistics_and_leaves_them(layer):
    outputs = _torch_batch_normalization(layer, torch.tensor(PIXELS), training=False)
    assert outputs.ravel().tolist() == pytest.approx([1.0, 7.0, 3.0, 29 / 3])
    assert layer.moving_mean.value.tolist() == [1.0, 2.0]


def test_training_takes_the_statistics_of_the_batch_and_moves_the_moving_ones(layer):
    outputs = _torch_batch_normalization(layer, torch.tensor(PIXELS), training=True)
    assert outputs.ravel().tolist() == pytest.approx([-1.0, 3.0, 1.0, 7.0])
    assert layer.moving_mean.value.tolist() == [2.0, 3.25]
    assert layer.moving_variance.value.tolist() == [5.0, 8.75]


def test_tensorflow_keeps_its_own():
    import keras

    network = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.BatchNormalization()])
    fuse_batch_normalization(network)
    assert network.layers[0].call.__func__ is keras.layers.BatchNormalization.call
