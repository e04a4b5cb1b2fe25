import numpy as np
import pytest

from jobs.ages.age_mix_estimation import CircleMix
from jobs.ages.age_mix_rows import circle_of, columns_of


def test_a_circle_comes_back_from_its_columns() -> None:
    random = np.random.default_rng(1)
    circle = CircleMix(7, random.random(101), random.random(101), random.random((3, 101)), random.random((3, 101)))
    found = circle_of(columns_of(circle))
    for name, value in vars(circle).items():
        assert getattr(found, name) == pytest.approx(value)
