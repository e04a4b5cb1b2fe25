from __future__ import annotations

import pytest

from models.serving.age_estimator import AgeEstimator
from models.serving.face_finding import FaceFinder
from models.serving.model_versions import MODEL_VERSIONS
from tests.benchmarks.photo_stages import AGE_NETWORK, REST, SEARCHES, StageClock, drawn_crops, stage_milliseconds


def test_a_stage_is_timed_without_the_stages_inside_it(monkeypatch):
    seconds = iter([0, 0, 1, 1, 4, 4, 9, 9])
    monkeypatch.setattr("time.process_time", lambda: next(seconds))
    clock = StageClock()
    with clock.stage("outer"), clock.stage("inner"):
        assert clock.is_running("outer")
    assert clock.seconds == {"outer": 6, "inner": 3}
    assert clock.calls == {"outer": 1, "inner": 1}
    assert not clock.is_running("outer")


def test_each_stage_of_crops_is_timed_and_the_functions_are_as_before_afterwards():
    estimator = AgeEstimator.load(MODEL_VERSIONS[-1], batch_size=4, threads=1)
    before = FaceFinder._search, AgeEstimator.estimate_pixels
    stages = stage_milliseconds(estimator, drawn_crops(4), rounds=1)
    assert (FaceFinder._search, AgeEstimator.estimate_pixels) == before
    assert stages[SEARCHES[0]][1] == pytest.approx(1)
    assert all(stages[name][0] > 0 for name in ("decoding", SEARCHES[0], AGE_NETWORK, REST))
