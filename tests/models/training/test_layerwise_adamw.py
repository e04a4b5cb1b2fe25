import json
import os
import subprocess
import sys

import numpy as np
import pytest

STEPS = """
import json, keras, numpy as np
from models.training.layerwise_adamw import LayerwiseAdamW

early = keras.Variable(np.array([1.0, -2.0, 3.0], "float32"), name="conv1_kernel")
late = keras.Variable(np.array([1.0, -2.0, 3.0], "float32"), name="head")
early._path, late._path = "conv1_conv/kernel", "age_logits/kernel"
optimizer = LayerwiseAdamW(
    0.1, {"conv1": 0.5}, weight_decay=0.01, global_clipnorm=1.0, use_ema=True, ema_momentum=0.9, epsilon=1e-7
)
optimizer.build([early, late])
for step in range(3):
    grads = [keras.ops.convert_to_tensor(np.array([0.5, 0.1, -3.0], "float32") + step) for _ in range(2)]
    optimizer.apply(grads, [early, late])
values = [early, late, *optimizer._model_variables_moving_average]
print(json.dumps([keras.ops.convert_to_numpy(value.value).tolist() for value in values]))
"""


def values_after_three_steps(backend: str) -> np.ndarray:
    run = subprocess.run(
        [sys.executable, "-c", STEPS], env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, check=True
    )
    return np.array(json.loads(run.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def after_three_steps() -> np.ndarray:
    return values_after_three_steps("tensorflow")


def test_an_early_layer_moves_by_its_share_of_the_rate(after_three_steps: np.ndarray) -> None:
    start = np.array([1.0, -2.0, 3.0])
    early, late = after_three_steps[:2]
    assert (early - start) / (late - start) == pytest.approx([0.5, 0.5, 0.5], rel=0.05)


def test_weights_are_averaged_on_the_way(after_three_steps: np.ndarray) -> None:
    late, average = after_three_steps[1], after_three_steps[3]
    assert np.all(np.abs(average - [1, -2, 3]) < np.abs(late - [1, -2, 3]))


def test_the_kernel_of_pytorch_takes_the_same_steps(after_three_steps: np.ndarray) -> None:
    pytest.importorskip("torch", reason="PyTorch is an optional training engine")
    assert values_after_three_steps("torch") == pytest.approx(after_three_steps, abs=2e-3)
