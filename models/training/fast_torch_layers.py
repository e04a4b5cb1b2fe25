"""fast_torch_layers: PyTorch's own kernels inside Keras layers, for training speed only.

On the torch backend Keras computes batch normalization from single operations, and copies the pixels of each
convolution to another layout and back. PyTorch's own kernels on the layout as it is train a ResNet50 on a CPU about
twice as fast. Other backends need none of it. Weights, results and saved files stay the same, but for the variance of
a batch, which PyTorch takes with n - 1 when it updates the moving one.
"""

from __future__ import annotations

from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def use_torch_kernels(network: keras.Model) -> None:
    """Let the convolutions, batch normalizations and pools of `network` call PyTorch; do nothing on another backend.

    Takes channels-last layers; a convolution that pads to the `same` size must have odd kernels and stride 1.
    """
    import keras

    if keras.backend.backend() != "torch":
        return
    calls = {
        keras.layers.BatchNormalization: _batch_normalization,
        keras.layers.Conv2D: _convolution,
        keras.layers.MaxPooling2D: _max_pooling,
    }
    for layer in network.layers:
        if call := calls.get(type(layer)):
            layer.call = MethodType(call, layer)


def _batch_normalization(layer: Any, inputs: Any, training: bool | None = None, mask: None = None) -> Any:
    """Stand in for BatchNormalization.call on (batch, height, width, channels); updates the moving statistics."""
    outputs = _functional().batch_norm(
        inputs.permute(0, 3, 1, 2),
        layer.moving_mean.value,
        layer.moving_variance.value,
        layer.gamma.value,
        layer.beta.value,
        bool(training and layer.trainable),
        1 - layer.momentum,
        layer.epsilon,
    )
    return outputs.permute(0, 2, 3, 1)


def _convolution(layer: Any, inputs: Any) -> Any:
    """Stand in for Conv2D.call on (batch, height, width, channels)."""
    padding = layer.kernel_size[0] // 2 if layer.padding == "same" else 0
    kernel = layer.kernel.value.permute(3, 2, 0, 1)
    outputs = _functional().conv2d(
        inputs.permute(0, 3, 1, 2), kernel, layer.bias.value, layer.strides, padding, layer.dilation_rate
    )
    return layer.activation(outputs.permute(0, 2, 3, 1))


def _max_pooling(layer: Any, inputs: Any) -> Any:
    """Stand in for MaxPooling2D.call without padding."""
    outputs = _functional().max_pool2d(inputs.permute(0, 3, 1, 2), layer.pool_size, layer.strides)
    return outputs.permute(0, 2, 3, 1)


def _functional() -> Any:
    return import_module("torch").nn.functional  # no dependency of ours: who trains on it installs it
