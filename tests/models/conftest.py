"""What tests of the model share: one face finder, and the committed version on each engine."""

import pytest

from models.serving.age_estimator import AgeEstimator
from models.serving.face_finding import FaceFinder
from tests.given.face_photos import committed_estimator


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    return FaceFinder.load(threads=1)


@pytest.fixture(params=["openvino", "tensorflow"])
def estimator(request: pytest.FixtureRequest) -> AgeEstimator:
    """The committed network, on each engine."""
    return committed_estimator(request.param)
