from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.serving.age_resnet50 import build_age_resnet50, load_weights, network_weights, read_weights, write_weights


@pytest.fixture(scope="module")
def network() -> Any:
    return build_age_resnet50()


def test_it_returns_one_logit_per_year_of_age_at_any_image_size(network: Any) -> None:
    for side in (32, 48):
        assert network.predict_on_batch(np.zeros((2, side, side, 3), dtype="float32")).shape == (2, 101)


def test_its_first_layers_do_what_the_imagenet_weights_were_trained_with(network: Any) -> None:
    import keras

    bgr = keras.Model(network.input, network.get_layer(class_name("Rescaling", network)).output)
    rgb_pixel = np.array([[[[255.0, 116.779, 3.939]]]], dtype="float32")
    assert bgr(rgb_pixel).numpy().ravel().tolist() == pytest.approx([-100.0, 0.0, 131.32], abs=1e-4)


def class_name(kind: str, network: Any) -> str:
    return next(layer.name for layer in network.layers if type(layer).__name__ == kind)


def test_weights_come_back_from_a_file_as_float16_kernels_and_float32_vectors(network: Any, tmp_path: Path) -> None:
    variance = network.get_layer("conv1_bn").moving_variance
    variance.assign(np.full(64, 83_614.73))
    write_weights(network_weights(network), tmp_path / "weights.npz")
    weights = read_weights(tmp_path / "weights.npz")
    assert weights["age_logits/kernel:0"].dtype == np.float16
    assert weights["conv1_bn/moving_variance:0"].tolist() == np.full(64, 83_614.73, dtype="float32").tolist()
    assert load_weights(network, weights) == []
    assert np.array_equal(variance.numpy(), weights["conv1_bn/moving_variance:0"])


def test_weights_that_a_file_lacks_are_named_and_left_as_they_are(network: Any) -> None:
    kernel = np.full((2048, 101), 0.5, dtype="float16")
    missing = load_weights(network, {"age_logits/kernel:0": kernel})
    assert "age_logits/bias:0" in missing
    assert "age_logits/kernel:0" not in missing
    assert network.get_layer("age_logits").kernel.numpy().mean() == 0.5


def test_weights_of_another_network_are_refused(network: Any) -> None:
    with pytest.raises(ValueError, match=r"weights not in the network: \['fc1/kernel:0'\]"):
        load_weights(network, {"fc1/kernel:0": np.zeros(1)})
    with pytest.raises(ValueError, match=r"'age_logits/bias:0' has shape \(8,\), the network needs \(101,\)"):
        load_weights(network, {"age_logits/bias:0": np.zeros(8)})


def test_pickled_content_in_a_weights_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", bias=np.array([{"not": "an array"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_weights(tmp_path / "weights.npz")
