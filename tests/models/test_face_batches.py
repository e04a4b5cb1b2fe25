import numpy as np
import pandas as pd
import pytest
from conftest import photo_bytes, smooth_photo

from models.face_batches import FaceBatches, photo_problems
from models.photo_augmentation import ALL_VARIATIONS


@pytest.fixture
def faces(tmp_path):
    for row in range(10):
        (tmp_path / f"{row}.jpg").write_bytes(photo_bytes(smooth_photo(64, 64, row)))
    return pd.DataFrame({"file_name": [f"{row}.jpg" for row in range(10)], "real_age": range(0, 100, 10)})


def varied(faces, images) -> FaceBatches:
    return FaceBatches(faces, images, 40, batch_size=4, augmentation=ALL_VARIATIONS, seed=1)


def test_batches_hold_every_face_once_an_epoch(faces, tmp_path):
    batches = varied(faces, tmp_path)
    assert len(batches) == 3
    assert [batches[batch][0].shape for batch in range(3)] == [(4, 40, 40, 3), (4, 40, 40, 3), (2, 40, 40, 3)]
    assert sorted(age for batch in range(3) for age in batches[batch][1].ravel()) == list(range(0, 100, 10))


def test_a_resumed_epoch_sees_the_faces_of_that_epoch(faces, tmp_path):
    whole, resumed = varied(faces, tmp_path), varied(faces, tmp_path)
    first_of_epoch_0, _, _ = whole[0]
    whole.start_epoch(1)
    resumed.start_epoch(1)
    first_of_epoch_1, _, _ = whole[0]
    assert np.array_equal(resumed[0][0], first_of_epoch_1)
    assert not np.array_equal(first_of_epoch_0, first_of_epoch_1)


def test_faces_to_watch_stay_in_order_and_unaltered(faces, tmp_path):
    batches = FaceBatches(faces, tmp_path, 40, batch_size=4)
    before = batches[1]
    batches.start_epoch(1)
    assert batches[1][1].ravel().tolist() == [40, 50, 60, 70]
    assert np.array_equal(batches[1][0], before[0])


def test_a_face_carries_the_weight_of_its_age(faces, tmp_path):
    _, ages, weights = FaceBatches(faces, tmp_path, 40, batch_size=4, weights_by_age=np.arange(101) / 100, seed=1)[0]
    assert weights == pytest.approx(ages.ravel() / 100)


def test_photos_that_cannot_be_used_have_a_reason_each(faces, tmp_path):
    (tmp_path / "1.jpg").unlink()
    (tmp_path / "2.jpg").write_bytes(b"not a photo")
    problems = photo_problems(faces, tmp_path)
    assert problems[[1, 2]].tolist() == [
        "the photo is not there or cannot be read",
        "the 11 bytes are neither JPEG nor PNG",
    ]
    assert problems.isna().sum() == 8
