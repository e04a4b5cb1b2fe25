"""fast_torch_layers: run Keras layers on PyTorch's own kernels, only to train faster.

On the torch backend Keras computes batch normalization from single operations, and copies the pixels of each
convolution to another layout and back. PyTorch's own kernels need no other layout, and train a ResNet50 on a CPU about
twice as fast. Other backends do not need this. Weights, results and saved files stay the same, with one exception:
PyTorch divides the variance of a batch by n - 1 when it updates the moving variance.
"""

from __future__ import annotations

from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def use_torch_kernels(network: keras.Model) -> None:
    """Make the convolutions, batch normalizations and pools of `network` call PyTorch; do nothing on another backend.

    Layers must be channels-last. A convolution that pads to the `same` size must have odd kernels and stride 1.
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
        # By exact type: a subclass may compute something else.
        if call := calls.get(type(layer)):
            layer.call = MethodType(call, layer)


def _batch_normalization(layer: Any, inputs: Any, training: bool | None = None, mask: None = None) -> Any:
    """Replace BatchNormalization.call on (batch, height, width, channels); updates the moving statistics."""
    # `permute` changes only the view; PyTorch calls this layout channels-last and has kernels for it.
    outputs = _functional().batch_norm(
        inputs.permute(0, 3, 1, 2),
        layer.moving_mean.value,
        layer.moving_variance.value,
        layer.gamma.value,
        layer.beta.value,
        bool(training and layer.trainable),
        1 - layer.momentum,  # PyTorch's momentum is the weight of the new value, Keras' that of the old one
        layer.epsilon,
    )
    return outputs.permute(0, 2, 3, 1)


def _convolution(layer: Any, inputs: Any) -> Any:
    """Replace Conv2D.call on (batch, height, width, channels)."""
    padding = layer.kernel_size[0] // 2 if layer.padding == "same" else 0
    kernel = layer.kernel.value.permute(3, 2, 0, 1)  # (height, width, in, out) ► (out, in, height, width)
    outputs = _functional().conv2d(
        inputs.permute(0, 3, 1, 2), kernel, layer.bias.value, layer.strides, padding, layer.dilation_rate
    )
    return layer.activation(outputs.permute(0, 2, 3, 1))


def _max_pooling(layer: Any, inputs: Any) -> Any:
    """Replace MaxPooling2D.call without padding."""
    outputs = _functional().max_pool2d(inputs.permute(0, 3, 1, 2), layer.pool_size, layer.strides)
    return outputs.permute(0, 2, 3, 1)


def _functional() -> Any:
    return import_module("torch").nn.functional  # not a dependency: people who train on PyTorch install it
