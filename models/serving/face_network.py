"""face_network: a small face network with a head over years of age, the second opinion next to ResNet50.

The network is a MobileNet (Howard et al. 2017), trained to tell people apart and then to guess their ages. Its public
weights are used unchanged; only the head is ours. Its errors differ from those of ResNet50, which has seen far fewer
faces, so the mean of both is closer to the truth than either.
Source: Savchenko 2019, "Efficient facial representations for age, gender and identity recognition in organizing photo
albums using multi-output ConvNet" (github.com/HSE-asavchenko/HSE_FaceRec_tf, Apache 2.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.serving.age_distribution import YEARS_OF_AGE
from models.serving.age_resnet50 import IMAGENET_MEANS_BGR, load_weights, read_weights

if TYPE_CHECKING:
    import keras

DESCRIPTION_SIZE = 1024
"""Length of the vector that describes a face, fixed by the network."""

HEAD_LAYERS = ("second_hidden", "second_logits")
"""Names of the head's two layers in its weights file: with other names committed heads cannot be read."""


def build_face_network(side_pixels: int) -> keras.Model:
    """Build the network without weights. It first scales faces to `side_pixels`.

    Input: (batch, height, width, 3) RGB, 0–255, any size. Output: (batch, 1024) float32, the face's description.
    """
    import keras

    pixels = keras.Input(shape=(None, None, 3), name="rgb_pixels")
    scaled = keras.layers.Resizing(side_pixels, side_pixels, interpolation="bilinear")(pixels)
    # The weights file has the first kernel in RGB order: turning channels round costs more than a convolution.
    centred = keras.layers.Rescaling(1.0, offset=[-mean for mean in reversed(IMAGENET_MEANS_BGR)])(scaled)
    return keras.applications.MobileNet(
        input_tensor=centred, input_shape=(side_pixels, side_pixels, 3), include_top=False, weights=None, pooling="avg"
    )


def build_head(hidden_size: int) -> keras.Model:
    """Build the head without weights: (batch, 1024) descriptions ► (batch, 101) float32 logits over years of age."""
    import keras

    hidden, logits = HEAD_LAYERS
    description = keras.Input(shape=(DESCRIPTION_SIZE,), name="description")
    activated = keras.layers.Dense(hidden_size, activation="gelu", name=hidden, dtype="float32")(description)
    return keras.Model(description, keras.layers.Dense(YEARS_OF_AGE, name=logits, dtype="float32")(activated))


def load_face_network(weights: Path, side_pixels: int) -> keras.Model:
    """Return the network of `build_face_network` with weights from a file. Raises ValueError as `load_weights` does."""
    network = build_face_network(side_pixels)
    load_weights(network, read_weights(weights))
    return network


def load_head(weights: Path) -> keras.Model:
    """Return a head with the size and weights in a file. Raises ValueError as `load_weights` does."""
    arrays = read_weights(weights)
    head = build_head(len(arrays[f"{HEAD_LAYERS[0]}/bias:0"]))
    load_weights(head, arrays)
    return head
