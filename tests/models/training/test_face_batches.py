from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.serving.face_crop import Square, middle_square
from models.training.face_batches import FaceBatches, find_squares
from models.training.photo_augmentation import ALL_VARIATIONS
from tests.given.face_photos import photo_bytes, smooth_photo, synthetic_face


@pytest.fixture
def faces(tmp_path: Path) -> pd.DataFrame:
    for row in range(10):
        (tmp_path / f"{row}.jpg").write_bytes(photo_bytes(smooth_photo(64, 64, row)))
    whole = [middle_square(64, 64)] * 10
    return pd.DataFrame({"file_name": [f"{row}.jpg" for row in range(10)], "real_age": range(0, 100, 10)}).assign(
        square=whole
    )


def varied(faces: pd.DataFrame, images: Path) -> FaceBatches:
    return FaceBatches(faces, images, 40, batch_size=4, augmentation=ALL_VARIATIONS, seed=1)


def test_batches_hold_every_face_once_an_epoch(faces: pd.DataFrame, tmp_path: Path) -> None:
    batches = varied(faces, tmp_path)
    assert len(batches) == 3
    assert [batches[batch][0].shape for batch in range(3)] == [(4, 40, 40, 3), (4, 40, 40, 3), (2, 40, 40, 3)]
    assert sorted(age for batch in range(3) for age in batches[batch][1].ravel()) == list(range(0, 100, 10))


def test_a_resumed_epoch_sees_the_faces_of_that_epoch(faces: pd.DataFrame, tmp_path: Path) -> None:
    whole, resumed = varied(faces, tmp_path), varied(faces, tmp_path)
    first_of_epoch_0, _, _ = whole[0]
    whole.start_epoch(1)
    resumed.start_epoch(1)
    first_of_epoch_1, _, _ = whole[0]
    assert np.array_equal(resumed[0][0], first_of_epoch_1)
    assert not np.array_equal(first_of_epoch_0, first_of_epoch_1)


def test_faces_to_watch_stay_in_order_and_unaltered(faces: pd.DataFrame, tmp_path: Path) -> None:
    batches = FaceBatches(faces, tmp_path, 40, batch_size=4)
    before = batches[1]
    batches.start_epoch(1)
    assert batches[1][1].ravel().tolist() == [40, 50, 60, 70]
    assert np.array_equal(batches[1][0], before[0])


def test_a_face_carries_the_weight_of_its_age(faces: pd.DataFrame, tmp_path: Path) -> None:
    _, ages, weights = FaceBatches(faces, tmp_path, 40, batch_size=4, weights_by_age=np.arange(101) / 100, seed=1)[0]
    assert weights == pytest.approx(ages.ravel() / 100)


def test_the_square_of_a_face_is_what_training_sees_of_a_photo(faces: pd.DataFrame, tmp_path: Path) -> None:
    left_half = np.zeros((64, 128, 3), dtype="uint8")
    left_half[:, :64] = 255
    (tmp_path / "0.png").write_bytes(photo_bytes(Image.fromarray(left_half), "PNG"))
    of_the_left = pd.DataFrame({"file_name": ["0.png"], "real_age": [30], "square": [Square(0.0, 0.0, 1.0)]})
    pixels, _, _ = FaceBatches(of_the_left, tmp_path, 40, batch_size=1)[0]
    assert pixels.min() == 255


def test_each_photo_has_the_square_of_its_face_or_a_reason(tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(photo_bytes(Image.fromarray(synthetic_face(1)), quality=95))
    (tmp_path / "blots.jpg").write_bytes(photo_bytes(smooth_photo(300, 300)))
    (tmp_path / "text.jpg").write_bytes(b"not a photo")
    faces = pd.DataFrame({"file_name": ["face.jpg", "blots.jpg", "text.jpg", "gone.jpg"], "real_age": 30})
    found = find_squares(faces, tmp_path, 64)
    assert found["problem"].tolist() == [
        None,
        "no face was found in the 300 × 300 pixels",
        "the 11 bytes are neither JPEG nor PNG",
        "the photo is not there or cannot be read",
    ]
    assert found["square"].tolist() == [middle_square(112, 112), None, None, None]
