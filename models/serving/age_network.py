"""age_network: the whole network of a version in Keras: ResNet50 and, if the version has one, its second opinion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.serving.age_resnet50 import (
    build_age_resnet50,
    build_seed_network,
    load_weights,
    read_weights,
    with_rgb_kernel,
)
from models.serving.face_network import load_face_network, load_head
from models.serving.model_manifest import ModelManifest
from models.serving.model_versions import WEIGHTS_FOLDER, ModelFiles, face_network_path

if TYPE_CHECKING:
    import keras


def load_age_network(files: ModelFiles, manifest: ModelManifest) -> tuple[keras.Model, list[str]]:
    """Return the network with the weights of a version, and the names of ResNet50's arrays that the file lacks.

    Input: (batch, side, side, 3) float RGB, 0–255. Output: (batch, 101) logits over years of age, or (batch, 1) years
    for the seed network. With a second opinion (batch, 202): its logits follow those of ResNet50.
    Raises WeightsError when the small face network is missing or altered.
    """
    network, missing = _load_resnet50(files.weights, manifest.head)
    if manifest.second_opinion is None:
        return network, missing
    if files.second_opinion_head is None:
        raise ValueError("the manifest has a second opinion, but there is no head for it")
    side_pixels = manifest.second_opinion.side_pixels
    return with_second_opinion(network, side_pixels, files.second_opinion_head, files.weights_folder), missing


def _load_resnet50(weights: Path, head: str) -> tuple[keras.Model, list[str]]:
    if head == "age":
        network = build_seed_network()
        return network, load_weights(network, read_weights(weights))
    network = build_age_resnet50(first_kernel_is_rgb=True)
    return network, load_weights(network, with_rgb_kernel(read_weights(weights)))


def with_second_opinion(
    network: keras.Model, side_pixels: int, head: Path, weights_folder: Path = WEIGHTS_FOLDER
) -> keras.Model:
    """Return the network with the logits of the small face network appended to its own, both from the same pixels."""
    import keras

    description = load_face_network(face_network_path(weights_folder), side_pixels)
    logits = [network.output, load_head(head)(description(network.input))]
    return keras.Model(network.input, keras.ops.concatenate(logits, axis=-1))
