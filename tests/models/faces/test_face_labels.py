import re
from pathlib import Path

import pandas as pd
import pytest

from models.errors import ModelInputError
from models.faces.face_labels import ages_years, find_labelled_faces, read_face_labels
from tests.given.face_photos import photo_bytes, smooth_photo


def test_labels_with_groups_and_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file_name,real_age,group,split,age_conflict\na.jpg,20,g1,valid,0\nb.jpg,30,g2,test,1\n"
    )
    assert read_face_labels(tmp_path / "labels.csv").to_dict("records") == [
        {"file_name": "a.jpg", "real_age": 20, "group": "g1", "split": "valid", "age_conflict": 0},
        {"file_name": "b.jpg", "real_age": 30, "group": "g2", "split": "test", "age_conflict": 1},
    ]


def test_a_group_is_never_parted_and_about_eight_of_ten_train(tmp_path: Path) -> None:
    rows = "".join(f"{row}.jpg,30,g{row // 2}\n" for row in range(4000))
    (tmp_path / "labels.csv").write_text("file_name,real_age,group\n" + rows)
    faces = read_face_labels(tmp_path / "labels.csv")
    assert (faces.groupby("group")["split"].nunique() == 1).all()
    shares = faces["split"].value_counts(normalize=True)
    assert shares[["train", "valid", "test"]].tolist() == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_the_split_of_a_photo_does_not_depend_on_the_others(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("file_name,real_age\nb.jpg,30\n")
    (tmp_path / "more.csv").write_text("file_name,real_age\na.jpg,20\nb.jpg,30\n")
    few, more = (read_face_labels(tmp_path / name) for name in ("few.csv", "more.csv"))
    assert few.loc[0, "split"] == more.loc[1, "split"]


def test_near_duplicates_stay_together_and_are_marked_where_their_ages_disagree(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / f"{name}.jpg").write_bytes(photo_bytes(smooth_photo(64, 64, seed)))
    (tmp_path / "labels.csv").write_text("file_name,real_age\na.jpg,20\nb.jpg,30\nc.jpg,30\n")
    faces = read_face_labels(None, tmp_path)
    assert faces[["group", "age_conflict"]].to_dict("list") == {
        "group": ["a.jpg", "a.jpg", "c.jpg"],
        "age_conflict": [1, 1, 0],
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file_name,age\na.jpg,20\n", "has no column 'real_age'; it has ['file_name', 'age']"),
        ("file_name,real_age\na.jpg,20\nb.jpg,old\n", "row 2: real_age 'old' is no age from 0 to 130"),
        ("file_name,real_age\na.jpg,-1\n", "row 1: real_age '-1' is no age from 0 to 130"),
        ("", "cannot be read as CSV"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_by_what_is_wrong(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(ModelInputError, match=re.escape(words)):
        read_face_labels(tmp_path / "labels.csv")


def test_a_labels_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match=r"labels\.csv' does not exist"):
        read_face_labels(tmp_path / "labels.csv")


def test_ages_over_100_count_as_100() -> None:
    assert ages_years(pd.DataFrame({"real_age": [0, 100, 116]})).tolist() == [0, 100, 100]


def test_faces_are_found_by_their_utkface_names(tmp_path: Path) -> None:
    (tmp_path / "part1").mkdir()
    for name in ("26_1_0_2017.jpg.chip.jpg", "part1/7_0_2_2017.png", "no_age.jpg", "31_notes.txt"):
        (tmp_path / name).touch()
    assert find_labelled_faces(tmp_path).to_dict("records") == [
        {"file_name": "26_1_0_2017.jpg.chip.jpg", "real_age": 26},
        {"file_name": "part1/7_0_2_2017.png", "real_age": 7},
    ]


def test_faces_of_a_labels_file_without_a_photo_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file_name,real_age\nthere.jpg,20\ngone.jpg,30\n")
    (tmp_path / "there.jpg").touch()
    assert find_labelled_faces(tmp_path).to_dict("records") == [{"file_name": "there.jpg", "real_age": 20}]


def test_a_folder_without_labels_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(
        ModelInputError, match=r"has neither a labels\.csv with file_name,real_age nor photos named like"
    ):
        find_labelled_faces(tmp_path)
