"""age_resnet50: ResNet50 with a head over years of age.

The network takes plain RGB pixels (0–255) and returns one logit per year of age. Its own first layers do the
preprocessing of the ImageNet weights (BGR order, channel means subtracted; He et al. 2016, "Deep Residual Learning for
Image Recognition"), so no caller can get it wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.serving.age_distribution import YEARS_OF_AGE

if TYPE_CHECKING:
    import keras

IMAGENET_MEANS_BGR = (103.939, 116.779, 123.68)

FIRST_KERNEL = "conv1_conv/kernel:0"

Weights = dict[str, NDArray[Any]]
"""Arrays by name, `layer/weight:0`, the names that Keras publishes."""


def build_age_resnet50(dropout: float = 0.0, *, first_kernel_is_rgb: bool = False) -> keras.Model:
    """Build the network without weights.

    Input: (batch, height, width, 3) RGB, 0–255, any size from 32 pixels. Output: (batch, 101) float32 logits.
    With `first_kernel_is_rgb` it takes the weights that `with_rgb_kernel` gives, and does not turn channels round.
    """
    import keras

    pixels = keras.Input(shape=(None, None, 3), name="rgb_pixels")
    means = IMAGENET_MEANS_BGR[::-1] if first_kernel_is_rgb else IMAGENET_MEANS_BGR
    # The ImageNet weights came from Caffe, which uses BGR images; flipping here lets callers use RGB.
    ordered = pixels if first_kernel_is_rgb else keras.ops.flip(pixels, axis=-1)
    centred = keras.layers.Rescaling(1.0, offset=[-mean for mean in means])(ordered)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=centred, pooling="avg")
    features = keras.layers.Dropout(dropout)(backbone.output)
    logits = keras.layers.Dense(YEARS_OF_AGE, name="age_logits", dtype="float32")(features)
    return keras.Model(pixels, logits, name="age_resnet50")


def with_rgb_kernel(weights: Weights) -> Weights:
    """Return the weights with the first convolution reordered for RGB pixels; the network's results stay the same.

    Turning round the channels of the pixels instead costs a tenth of the network's time on OpenVINO.
    """
    return {**weights, FIRST_KERNEL: weights[FIRST_KERNEL][:, :, ::-1]} if FIRST_KERNEL in weights else weights


def build_seed_network() -> keras.Model:
    """Build the seed network, with which the project began: photos scaled to 0–1, average pooling, Dense(1, relu).

    Input: the same as of `build_age_resnet50`. Output: (batch, 1) float32 years.
    """
    import keras

    pixels = keras.Input(shape=(None, None, 3), name="rgb_pixels")
    scaled = keras.layers.Rescaling(1 / 255)(pixels)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=scaled, pooling="avg")
    years = keras.layers.Dense(1, activation="relu", name="age_years", dtype="float32")(backbone.output)
    return keras.Model(pixels, years, name="seed_resnet50")


def build_network(head: str, dropout: float = 0.0) -> keras.Model:
    """Build the network with the head `years` (logits over years of age) or `age` (one number, the seed network)."""
    return build_seed_network() if head == "age" else build_age_resnet50(dropout)


def years_as_logits(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn (n, 1) ages, the seed network's outputs, into (n, 101) logits of the nearest two years.

    Outputs that are logits already are returned unchanged.
    """
    if outputs.shape[1] != 1:
        return outputs
    # The floor keeps the logarithm of all other years finite.
    distance = np.abs(np.arange(YEARS_OF_AGE) - np.clip(outputs, 0, YEARS_OF_AGE - 1))
    logits: NDArray[np.float32] = np.log(np.maximum(1 - distance, 1e-12)).astype("float32")
    return logits


def load_weights(network: keras.Model, weights: Weights) -> list[str]:
    """Copy arrays named `layer/weight:0` into the network's layers; return the names that `weights` lacks.

    Raises ValueError when a name is in no layer of the network or an array has another shape.
    """
    variables = _named_variables(network)
    unused = sorted(weights.keys() - variables.keys())
    if unused:
        raise ValueError(f"weights not in the network: {unused[:3]}; is this file for another network?")
    for name, array in weights.items():
        needed = tuple(variables[name].shape)
        if array.shape != needed:
            raise ValueError(f"weight '{name}' has shape {array.shape}, the network needs {needed}")
        variables[name].assign(array.astype("float32"))
    return sorted(variables.keys() - weights.keys())


def network_weights(network: keras.Model) -> Weights:
    """Return all weights, named `layer/weight:0`: kernels as float16, all else as float32.

    Vectors stay float32 because variances of the first batch normalization exceed 65504, the largest float16.
    """
    import keras

    arrays = {
        name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in _named_variables(network).items()
    }
    return {name: array.astype("float16" if array.ndim > 1 else "float32") for name, array in arrays.items()}


def read_weights(path: Path) -> Weights:
    """Read an .npz of plain arrays. Pickled content is refused, because it can run code."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def write_weights(weights: Weights, path: Path) -> None:
    """Write an .npz of plain arrays."""
    np.savez(path, allow_pickle=False, **weights)


def _named_variables(network: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}/{variable.name}:0": variable for layer in network.layers for variable in layer.weights}
