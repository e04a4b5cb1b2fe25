from pathlib import Path

import numpy as np

from models.serving.age_distribution import YEARS_OF_AGE
from models.serving.model_manifest import ModelManifest, TrainingFacts, read_manifest, write_manifest
from models.serving.model_versions import MODEL_VERSIONS


def test_the_committed_manifest_can_be_read_without_tensorflow() -> None:
    manifest = read_manifest(MODEL_VERSIONS[-1])
    assert manifest.image_size >= 64
    assert np.all((np.array(manifest.interval_mass) > 0.3) & (np.array(manifest.interval_mass) <= 1.0))
    assert len(manifest.training.age_prior) == YEARS_OF_AGE
    assert abs(sum(manifest.training.age_prior) - 1) < 1e-4


def test_a_manifest_is_written_as_json_that_people_can_read(tmp_path: Path) -> None:
    facts = TrainingFacts("imagenet.npz", "faces, for research", 2, [0.5, 0.5], {"epochs": 3})
    write_manifest(ModelManifest(112, 1.25, 0.9, facts), tmp_path / "manifest.json")
    assert (tmp_path / "manifest.json").read_text().splitlines()[:4] == [
        "{",
        ' "image_size": 112,',
        ' "temperature": 1.25,',
        ' "interval_mass": 0.9,',
    ]
