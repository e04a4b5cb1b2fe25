from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from models.faces.sample_people import LOOK_UNITS, SAMPLE_PEOPLE_VERSION, SamplePeople, take_photo
from models.faces.synthetic_faces import LOOK_RANGE
from models.serving.model_versions import weights_path

FILE = weights_path(SAMPLE_PEOPLE_VERSION)


@pytest.fixture(scope="module")
def people() -> SamplePeople:
    return SamplePeople.load()


@pytest.fixture(scope="module")
def report() -> dict:  # type: ignore[type-arg]
    return json.loads(FILE.with_suffix(".json").read_text())


def test_there_are_some_thousands_of_people_and_several_of_each_age(people: SamplePeople) -> None:
    ages, counts = np.unique(people.ages_years, return_counts=True)
    assert ages.tolist() == list(range(13, 86))
    assert len(people.ages_years) > 2_000
    assert counts.min() >= 10
    assert FILE.stat().st_size < 500_000


def test_every_look_is_as_far_from_the_mean_as_the_generator_draws_it(people: SamplePeople) -> None:
    sizes = np.abs(people.looks) / LOOK_UNITS
    assert (sizes.min() >= LOOK_RANGE[0], sizes.max() <= LOOK_RANGE[1]) == (True, True)


def test_no_two_people_look_the_same(people: SamplePeople) -> None:
    assert len(np.unique(people.looks, axis=0)) == len(people.looks)


def test_an_age_that_nobody_has_is_that_of_the_people_next_to_it(people: SamplePeople) -> None:
    assert set(people.ages_years[people.of_age(42)]) == {42}
    assert set(people.ages_years[people.of_age(99)]) == {85}


def test_faces_drawn_together_are_those_drawn_one_by_one(people: SamplePeople) -> None:
    rows = people.of_age(30)[:3]
    together = [pixels.astype(int) for pixels in people.faces_of(rows)]
    alone = [next(people.faces_of([row])).astype(int) for row in rows]
    # Sums of floats in another order may round a grey value to its neighbour.
    assert max(np.abs(one - other).max() for one, other in zip(together, alone, strict=True)) <= 1
    assert np.abs(together[0] - together[1]).mean() > 10


def test_a_photo_is_a_jpeg_of_200_pixels_and_a_random_one_of_its_person(people: SamplePeople) -> None:
    pixels = next(people.faces_of(people.of_age(30)[:1]))
    one, again, other = (take_photo(pixels, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == again != other
    image = Image.open(io.BytesIO(one))
    assert (image.format, image.size) == ("JPEG", (200, 200))


def test_the_network_errs_on_them_as_on_the_photos_of_split_test(report: dict) -> None:  # type: ignore[type-arg]
    people, test = report["people"], report["test"]
    assert abs(people["mae"] - test["mae"]) <= 0.4
    assert 0.87 <= people["interval_coverage"] <= 0.93
    assert people["under_18_calibration_error"] <= 0.03
    for band, of_test in zip(people["by_age_band"], test["by_age_band"], strict=True):
        assert band["age_band"] == of_test["age_band"]
        assert abs(band["bias"] - of_test["bias"]) <= 1.0, band["age_band"]
        assert band["interval_coverage"] >= 0.83, band["age_band"]


def test_nearly_all_pass_the_photo_checks(report: dict) -> None:  # type: ignore[type-arg]
    assert report["passed_photo_checks_share"] >= 0.98


def test_none_is_as_near_to_a_training_photo_as_half_of_the_unrelated_photos_are(report: dict) -> None:  # type: ignore[type-arg]
    for part in ("whole_photo", "face_oval"):
        assert report["privacy"][part]["samples_nearer_than_valid_median"] == 0
        nearness = report["privacy"][part]
        assert nearness["sample_likeness"]["p50"] < nearness["valid_likeness"]["p50"]
