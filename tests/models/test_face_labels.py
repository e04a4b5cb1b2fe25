import pandas as pd
import pytest

from models.face_labels import ages_years, find_labelled_faces, read_face_labels


def test_labels_with_a_split_are_taken_as_they_are(tmp_path):
    (tmp_path / "labels.csv").write_text("file_name,real_age,split,age_conflict\na.jpg,20,valid,0\nb.jpg,30,test,1\n")
    faces = read_face_labels(tmp_path / "labels.csv")
    assert faces.to_dict("records") == [
        {"file_name": "a.jpg", "real_age": 20, "split": "valid", "age_conflict": 0},
        {"file_name": "b.jpg", "real_age": 30, "split": "test", "age_conflict": 1},
    ]


def test_labels_without_a_split_get_eight_train_one_valid_one_test_of_ten(tmp_path):
    rows = "".join(f"{row}.jpg,{row}\n" for row in range(10))
    (tmp_path / "labels.csv").write_text("file_name,real_age\n" + rows)
    faces = read_face_labels(tmp_path / "labels.csv")
    assert faces["split"].tolist() == ["train"] * 8 + ["valid", "test"]
    assert faces["age_conflict"].tolist() == [0] * 10


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "labels.csv").write_text("file_name,age\na.jpg,20\n")
    with pytest.raises(ValueError, match=r"has no column 'real_age'; it has \['file_name', 'age'\]"):
        read_face_labels(tmp_path / "labels.csv")


def test_ages_over_100_count_as_100():
    assert ages_years(pd.DataFrame({"real_age": [0, 100, 116]})).tolist() == [0, 100, 100]


def test_faces_are_found_by_their_utkface_names(tmp_path):
    (tmp_path / "part1").mkdir()
    for name in ("26_1_0_2017.jpg.chip.jpg", "part1/7_0_2_2017.png", "no_age.jpg", "31_notes.txt"):
        (tmp_path / name).touch()
    assert find_labelled_faces(tmp_path).to_dict("records") == [
        {"file_name": "26_1_0_2017.jpg.chip.jpg", "real_age": 26},
        {"file_name": "part1/7_0_2_2017.png", "real_age": 7},
    ]


def test_faces_of_a_labels_file_without_a_photo_are_left_out(tmp_path):
    (tmp_path / "labels.csv").write_text("file_name,real_age\nthere.jpg,20\ngone.jpg,30\n")
    (tmp_path / "there.jpg").touch()
    assert find_labelled_faces(tmp_path).to_dict("records") == [{"file_name": "there.jpg", "real_age": 20}]


def test_a_folder_without_labels_says_what_it_lacks(tmp_path):
    with pytest.raises(ValueError, match=r"has neither a labels\.csv with file_name,real_age nor photos named like"):
        find_labelled_faces(tmp_path)
