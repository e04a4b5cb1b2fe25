import numpy as np

from models.training.photo_augmentation import augment_photo
from tests.given.face_photos import smooth_photo

PHOTO = np.asarray(smooth_photo(100, 90))


def test_every_variation_has_the_wanted_size_and_differs() -> None:
    random = np.random.default_rng(1)
    variations = [augment_photo(PHOTO, 48, random) for _ in range(50)]
    assert {variation.shape for variation in variations} == {(48, 48, 3)}
    assert {variation.dtype.name for variation in variations} == {"uint8"}
    assert len({variation.tobytes() for variation in variations}) == 50


def test_the_same_random_numbers_give_the_same_variation() -> None:
    one, other = (augment_photo(PHOTO, 48, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


def test_the_photo_itself_stays_as_it_was() -> None:
    before = PHOTO.copy()
    for seed in range(20):
        augment_photo(PHOTO, 48, np.random.default_rng(seed))
    assert np.array_equal(PHOTO, before)
