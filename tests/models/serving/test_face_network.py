from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.serving.age_resnet50 import network_weights, read_weights, write_weights
from models.serving.face_network import HEAD_LAYERS, build_head, load_face_network, load_head
from models.serving.model_versions import WEIGHTS_FOLDER, face_network_path
from tests.given.face_photos import synthetic_face


@pytest.fixture(scope="module")
def network() -> Any:
    return load_face_network(face_network_path(), side_pixels=160)


def test_a_face_is_described_from_any_size_and_nearly_alike(network: Any) -> None:
    small = synthetic_face(1)[None].astype("float32")
    large = np.repeat(np.repeat(small, 2, axis=1), 2, axis=2)
    one, other = network.predict_on_batch(small)[0], network.predict_on_batch(large)[0]
    assert one.shape == (1024,)
    assert np.corrcoef(one, other)[0, 1] > 0.98


def test_faces_of_one_person_are_described_more_alike_than_those_of_two(network: Any) -> None:
    """The network has learnt to tell people apart: were an array misnamed, it would not."""
    first, second = (network.predict_on_batch(np.stack([synthetic_face(p, a) for a in (30, 34, 38)])) for p in (1, 2))
    within = np.corrcoef(first)[0, 1]
    across = max(np.corrcoef(one, other)[0, 1] for one in first for other in second)
    assert within > across


def test_a_head_tells_its_size_by_its_file(tmp_path: Path) -> None:
    head = build_head(hidden_size=7)
    write_weights(network_weights(head), tmp_path / "head.npz")
    loaded = load_head(tmp_path / "head.npz")
    description = np.ones((2, 1024), "float32")
    assert np.allclose(loaded.predict_on_batch(description), head.predict_on_batch(description), atol=0.01)
    assert sorted({name.split("/")[0] for name in read_weights(tmp_path / "head.npz")}) == sorted(HEAD_LAYERS)


def test_the_public_network_comes_with_its_terms() -> None:
    folder = WEIGHTS_FOLDER / "hse_faceres_deep"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "Savchenko" in (folder / "NOTICE").read_text()
