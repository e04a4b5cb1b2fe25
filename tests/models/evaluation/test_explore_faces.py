import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.cli import app
from models.errors import ModelInputError
from models.evaluation.explore_faces import (
    age_facts,
    duplicate_facts,
    in_words,
    look_at_photos,
    photo_facts,
    photos_by_age_band,
)
from models.faces.synthetic_faces import SyntheticFaces
from models.serving.model_versions import weights_path
from tests.given.face_photos import photo_bytes

runner = CliRunner()


def test_ages_that_never_occur_and_scarce_ages_are_found() -> None:
    facts = age_facts(pd.Series([1] * 16 + [2] * 15 + [4, 4, 61, 61]))
    assert (facts.photo_count, facts.youngest_years, facts.oldest_years) == (35, 1, 61)
    assert facts.missing_between_years == [3, *range(5, 61)]
    assert facts.missing_up_to_100_years == [0, 3, *range(5, 61), *range(62, 101)]
    assert facts.scarce_years == {2: 15, 4: 2, 61: 2}
    assert (facts.under_18_share, facts.over_60_share) == (33 / 35, 2 / 35)
    assert facts.count_by_age_band["55-64"] == 2


def test_exactly_18_is_no_minor_and_exactly_60_is_not_over_60() -> None:
    facts = age_facts(pd.Series([17, 18, 60, 61]))
    assert (facts.under_18_share, facts.over_60_share) == (0.25, 0.25)


def test_no_labels_are_refused() -> None:
    with pytest.raises(ModelInputError, match="the labels have no row"):
        age_facts(pd.Series([], dtype="int64"))


def test_runs_of_ages_are_written_short() -> None:
    assert in_words([0, 92, 98, 99, 100]) == "0, 92, 98–100"
    assert in_words([]) == "none"


def test_groups_with_more_than_one_age_are_contradictory() -> None:
    faces = pd.DataFrame({"group": list("aabbbcd"), "real_age": [20, 20, 30, 37, 31, 5, 6]})
    facts = duplicate_facts(faces)
    assert (facts.group_count, facts.photo_count) == (2, 5)
    assert (facts.conflicting_group_count, facts.conflicting_photo_count) == (1, 3)
    assert facts.largest_age_difference_years == 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Faces of nobody of 20 to 90, one of them twice with two ages, beside a broken, a tiny and a missing photo."""
    synthetic = SyntheticFaces.load(weights_path("synthetic_faces-2"))
    rows = []
    for age in (20, 40, 60, 90):
        face = Image.fromarray(synthetic.sample(age, np.random.default_rng(age)))
        (tmp_path / f"{age}.jpg").write_bytes(photo_bytes(face.resize((age + 40, age + 60))))
        rows.append((f"{age}.jpg", age))
    (tmp_path / "again.jpg").write_bytes((tmp_path / "40.jpg").read_bytes())
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "40.jpg").read_bytes()[:-400])
    (tmp_path / "tiny.png").write_bytes(photo_bytes(Image.new("RGB", (8, 8)), "PNG"))
    rows += [("again.jpg", 43), ("broken.jpg", 40), ("tiny.png", 30), ("gone.jpg", 31)]
    pd.DataFrame(rows, columns=["file_name", "real_age"]).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_every_photo_is_counted_with_the_reason_why_it_cannot_be_used(folder: Path) -> None:
    names = ["20.jpg", "broken.jpg", "tiny.png", "gone.jpg"]
    looks = look_at_photos(folder, names)
    assert looks["status"].tolist() == ["usable", "truncated", "too_small", "missing"]
    facts = photo_facts(looks)
    assert facts.usable_count + sum(facts.unusable.values()) == len(names)
    assert facts.sizes == {"60 × 80": 1, "80 × 100": 1, "8 × 8": 1}
    assert (facts.smallest_side_pixels, facts.median_side_pixels) == (8, 60)


def test_samples_are_usable_photos_of_each_age_group(folder: Path) -> None:
    faces = pd.DataFrame({"file_name": ["20.jpg", "gone.jpg", "40.jpg"], "real_age": [20, 31, 40]})
    samples = photos_by_age_band(faces, look_at_photos(folder, list(faces["file_name"])), per_band=3)
    assert {band: rows["file_name"].tolist() for band, rows in samples.items()} == {
        "18-24": ["20.jpg"],
        "35-44": ["40.jpg"],
    }


def test_the_command_writes_a_page_charts_facts_and_a_row_per_photo(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["explore", "--labels", str(folder / "labels.csv"), "--images", str(folder), "--out", str(out)]
    shown = runner.invoke(app, arguments, env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    assert "photos labelled" in shown.output
    assert "1 truncated" in shown.output
    assert {path.name for path in out.iterdir()} == {
        "index.html", "exploration.json", "photos.csv", "ages.png", "age_bands.png", "image_sizes.png"
    }  # fmt: skip
    facts = json.loads((out / "exploration.json").read_text())
    assert facts["near_duplicates"] == {
        "group_count": 1,
        "photo_count": 2,
        "conflicting_group_count": 1,
        "conflicting_photo_count": 2,
        "largest_age_difference_years": 3,
    }
    rows = pd.read_csv(out / "photos.csv").set_index("file_name")
    assert len(rows) == 8
    assert rows.loc["again.jpg", "group"] == rows.loc["40.jpg", "group"]
    page = (out / "index.html").read_text()
    assert page.count("data:image/jpeg") == 5 + 2  # a sample of each usable photo, and the two that contradict
    assert "do not publish it" in page


def test_labels_alone_are_explored_without_photos(tmp_path: Path) -> None:
    ages = "".join(f"{row:06}.jpg,{age}\n" for row, age in enumerate([*range(1, 92), *range(93, 98), 100]))
    (tmp_path / "labels.csv").write_text("file_name,real_age\n" + ages)
    shown = runner.invoke(app, ["explore", "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert json.loads((tmp_path / "out/exploration.json").read_text())["ages"]["missing_between_years"] == [92, 98, 99]
    assert "92, 98–99" in shown.output
    assert "do not publish it" not in (tmp_path / "out/index.html").read_text()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (None, "labels.csv' does not exist: name a CSV with file_name,real_age"),
        ("file_name,age\na.jpg,20\n", "has no column 'real_age'; it has ['file_name', 'age']"),
        ("file_name,real_age\na.jpg,old\n", "real_age 'old' is no age from 0 to 130"),
        ("file_name,real_age\na.jpg,20\n", "none of the 1 photos below"),
        ("file_name,real_age\n", "the labels have no row"),
    ],
)
def test_bad_labels_are_explained_with_exit_code_2(tmp_path: Path, labels: str | None, sentence: str) -> None:
    if labels is not None:
        (tmp_path / "labels.csv").write_text(labels)
    arguments = ["--labels", str(tmp_path / "labels.csv"), "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    refused = runner.invoke(app, ["explore", *arguments])
    assert refused.exit_code == 2
    assert sentence in refused.stderr
    assert not (tmp_path / "out").exists()
