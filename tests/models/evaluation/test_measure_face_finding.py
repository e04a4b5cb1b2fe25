from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.evaluation.measure_face_finding import crop_statuses, measure, scene_metrics
from models.serving.age_estimator import AgeEstimator
from models.serving.face_finding import FaceFinder
from models.serving.model_manifest import ModelManifest, TrainingFacts
from tests.given.face_photos import photo_bytes, synthetic_face

MANIFEST = ModelManifest(32, 1.0, 0.9, TrainingFacts("nothing", "no photos", 0, [], {}))


def always_30(batches: list[np.ndarray]) -> list[np.ndarray]:
    return [np.tile(np.where(np.arange(101) == 30, 50.0, 0.0).astype("float32"), (len(each), 1)) for each in batches]


@pytest.fixture
def judge(finder: FaceFinder) -> AgeEstimator:
    return AgeEstimator("always-30", MANIFEST, always_30, finder, 1)


def test_faces_are_found_in_scenes_and_judged_as_crops_too(judge: AgeEstimator, tmp_path: Path) -> None:
    for person in range(2):
        (tmp_path / f"{person}.jpg").write_bytes(photo_bytes(Image.fromarray(synthetic_face(person))))
    faces = pd.DataFrame({"file_name": ["0.jpg", "1.jpg"], "real_age": [27, 35]})
    measured = measure(judge, faces, tmp_path, empty_count=2)
    assert (measured["face_count"], measured["found_share"], measured["estimated_share"]) == (2, 1.0, 1.0)
    assert (measured["mae"], measured["mae_as_crops"]) == pytest.approx((4, 4))
    assert measured["faceless_scenes_with_a_face_share"] == 0
    assert sum(band["face_count"] for band in measured["by_side_pixels"].values()) == 2


def test_errors_are_compared_on_the_faces_that_were_estimated_both_ways() -> None:
    missed = {"is_found": False, "estimate_status": "no_face", "error_years": np.nan, "error_as_crop_years": 40.0}
    found = {"is_found": True, "estimate_status": "estimated", "error_years": -3.0, "error_as_crop_years": 2.0}
    figures = scene_metrics(pd.DataFrame([missed, found]))
    assert (figures.found_share, figures.mae, figures.mae_as_crops) == (0.5, 3, 2)
    assert figures.statuses == {"no_face": 1, "estimated": 1}


def test_crops_are_counted_by_what_becomes_of_them(judge: AgeEstimator) -> None:
    photos = [photo_bytes(Image.fromarray(synthetic_face(0))), b"", b"hello"]
    assert crop_statuses(judge, photos) == {"estimated": 1, "empty": 1, "not_an_image": 1}
