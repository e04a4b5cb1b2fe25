from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelInputError
from models.training.teacher_targets import read_teacher


def teacher_file(folder: Path, names: Sequence[str] = ("a.jpg", "b.jpg"), years: int = 101) -> Path:
    ages = np.zeros((len(names), years), "float16")
    ages[np.arange(len(names)), np.arange(len(names))] = 1
    path = folder / "teacher.npz"
    np.savez(path, file_name=names, age_probabilities=ages, embedding=np.arange(2 * len(names)).reshape(-1, 2))
    return path


def test_a_teachers_words_come_in_the_order_of_the_photos_asked_for(tmp_path: Path) -> None:
    teacher = read_teacher(teacher_file(tmp_path))
    said = teacher.of(["b.jpg", "a.jpg"])
    assert (teacher.embedding_size, said.shape, said.dtype) == (2, (2, 103), np.float32)
    assert said[:, :101].argmax(axis=1).tolist() == [1, 0]
    assert said[:, 101:].tolist() == [[2, 3], [0, 1]]


def test_a_photo_that_the_teacher_has_not_seen_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match=r"says nothing of 2 photos, as 'c\.jpg': make its file"):
        read_teacher(teacher_file(tmp_path)).of(["c.jpg", "a.jpg", "d.jpg"])


def test_a_file_that_is_no_teachers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(b"no arrays")
    with pytest.raises(ModelInputError, match=r"other.npz' cannot be read: .*; it is an .npz with file_name"):
        read_teacher(tmp_path / "other.npz")
    with pytest.raises(ModelInputError, match=r"age_probabilities of shape \(2, 100\)"):
        read_teacher(teacher_file(tmp_path, years=100))
