import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.cli import app
from models.errors import ModelInputError
from models.evaluation import evaluate_age_resnet50
from models.evaluation.evaluate_age_resnet50 import evaluate, write_evaluation
from models.faces.synthetic_faces import SyntheticFaces
from models.serving.age_estimator import AgeEstimator
from models.serving.age_resnet50 import network_weights, write_weights
from models.serving.face_finding import Face, FaceFinder
from models.serving.model_manifest import ModelManifest, TrainingFacts, write_manifest
from models.serving.model_versions import MODEL_VERSIONS, weights_path
from models.training.predictions import faces_of_split
from tests.given.face_photos import photo_bytes

runner = CliRunner()
FACTS = TrainingFacts("random weights", "grey squares, nobody's", 1, [1.0], {"head": "years"})


class EverythingIsAFace(FaceFinder):
    """Finds one face that stands wherever it looks, as large as the photo."""

    def __init__(self) -> None:
        super().__init__(Path("no network"), None)

    def find(self, pixels: np.ndarray, smallest_score: float = 0.5) -> list[Face]:
        height, width = pixels.shape[:2]
        points = ((0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.35, 0.7), (0.65, 0.7))
        return [Face(0, 0, width, height, 1.0, tuple((width * x, height * y) for x, y in points))]

    def glance(self, pixels: np.ndarray) -> list[Face]:
        return self.find(pixels)


def grey_photo(grey: int) -> bytes:
    """Return a photo that is mostly of one grey, with bright squares, since a blank one has no contrast."""
    pixels = np.full((64, 64, 3), grey, dtype="uint8")
    pixels.reshape(4, 16, 4, 16, 3)[:, :10, :, :10] = 200
    return photo_bytes(Image.fromarray(pixels), "PNG")


@pytest.fixture
def grey_estimator() -> AgeEstimator:
    """Takes a photo that is mostly as grey as 30 for surely 30 years, without a network."""

    def network(batches: Sequence[np.ndarray]) -> list[np.ndarray]:
        greys = [np.median(pixels[..., 0], axis=(1, 2)).astype(int) for pixels in batches]
        return [(40 * np.eye(101)[grey]).astype("float32") for grey in greys]

    return AgeEstimator("grey-1", ModelManifest(64, 1.0, 0.9, FACTS), network, EverythingIsAFace(), batch_size=3)


@pytest.fixture
def faces(tmp_path: Path) -> pd.DataFrame:
    """Greys 20, 30, 45 and 17 of people of 20, 33, 40 and 16, the third in conflict; one photo is broken, one gone."""
    for name, grey in {"a.png": 20, "b.png": 30, "c.png": 45, "d.png": 17}.items():
        (tmp_path / name).write_bytes(grey_photo(grey))
    (tmp_path / "broken.png").write_bytes(grey_photo(9)[:40])
    rows = [
        ("a.png", 20, "g1", 0, "test", "female"),
        ("b.png", 33, "g2", 0, "test", "male"),
        ("c.png", 40, "g3", 1, "test", "male"),
        ("d.png", 16, "g4", 0, "valid", None),
        ("broken.png", 9, "g5", 0, "test", "male"),
        ("gone.png", 50, "g6", 0, "test", "male"),
    ]
    columns = ["file_name", "real_age", "group", "age_conflict", "split", "gender"]
    return pd.DataFrame(rows, columns=columns)


def test_conflicting_labels_are_counted_apart(
    grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path
) -> None:
    figures = evaluate(grey_estimator, faces, tmp_path).metrics
    assert (figures["photo_count"], figures["mae"]) == (3, pytest.approx(4 / 3))
    assert figures["bias"] == pytest.approx((0 - 3 + 1) / 3)
    everyone = figures["with_conflicting_labels"]
    assert (everyone["photo_count"], everyone["mae"]) == (4, pytest.approx(9 / 4))
    assert figures["with_mirroring"]["photo_count"] == 3
    assert (figures["model_version"], figures["image_size"]) == ("grey-1", 64)


def test_what_the_correction_for_young_adults_costs_stands_beside_it(
    grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path
) -> None:
    plain = evaluate(grey_estimator, faces, tmp_path).metrics
    assert "without_correction" not in plain
    grey_estimator.manifest = replace(grey_estimator.manifest, young_adult_correction=1.0, temperature=10.0)
    figures = evaluate(grey_estimator, faces, tmp_path).metrics
    means = figures["without_correction"]
    assert means["photo_count"] == 3
    assert figures["bias"] < means["bias"] - 1


def test_no_photo_is_dropped_in_silence(grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path) -> None:
    evaluation = evaluate(grey_estimator, faces, tmp_path)
    assert evaluation.metrics["photos"] == {
        "listed_count": 6,
        "estimated_count": 4,
        "without_estimate": {"truncated": 1, "missing": 1},
    }
    rows = evaluation.predictions.set_index("file_name")
    assert rows.loc["gone.png", ["estimate_status", "estimate_reason"]].tolist() == ["missing", "there is no such file"]
    assert rows["estimated_age_years"].round(6).tolist()[:4] == [20, 30, 45, 17]
    assert rows["estimated_age_years"].isna().tolist() == [False, False, False, False, True, True]


def test_errors_are_told_apart_by_the_labels_there_are(
    grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path
) -> None:
    figures = evaluate(grey_estimator, faces, tmp_path).metrics
    assert [(row["gender"], row["photo_count"], round(row["mae"], 6)) for row in figures["by_gender"]] == [
        ("female", 1, 0.0),
        ("male", 1, 3.0),
    ]
    assert "by_race" not in figures


def test_codes_of_utkface_are_read_as_words(grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path) -> None:
    coded = faces.assign(gender=[1.0, 0.0, 0.0, None, 0.0, 0.0], race=["0", "3", "4", "1", "2", "2"])
    figures = evaluate(grey_estimator, coded, tmp_path).metrics
    assert [row["gender"] for row in figures["by_gender"]] == ["female", "male"]
    assert [row["race"] for row in figures["by_race"]] == ["black", "indian", "white"]


def test_metrics_begin_with_the_error_and_predictions_hold_numbers_of_every_photo(
    grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path
) -> None:
    write_evaluation(evaluate(grey_estimator, faces, tmp_path), tmp_path / "out")
    assert next(iter(json.loads((tmp_path / "out" / "metrics.json").read_text()))) == "mae"
    rows = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert rows["file_name"].tolist() == faces["file_name"].tolist()
    assert rows.loc[3, "under_18_probability"] == 1.0


def test_no_usable_photo_says_where_it_looked(
    grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ModelInputError, match=r"none of the 6 photos below '.*elsewhere' can be used \(first 'a.png'"):
        evaluate(grey_estimator, faces, tmp_path / "elsewhere")


def test_only_conflicting_labels_are_refused(grey_estimator: AgeEstimator, faces: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ModelInputError, match="each of the 4 photos has a near duplicate with another age"):
        evaluate(grey_estimator, faces.assign(age_conflict=1), tmp_path)


def test_splits_are_chosen_by_name(faces: pd.DataFrame) -> None:
    assert faces_of_split(faces, "valid")["file_name"].tolist() == ["d.png"]
    assert len(faces_of_split(faces, "all")) == 6
    with pytest.raises(ModelInputError, match="no photo of split 'tset': name one of test, valid or all"):
        faces_of_split(faces, "tset")


@pytest.fixture
def arguments(faces: pd.DataFrame, tmp_path: Path) -> list[str]:
    faces.to_csv(tmp_path / "labels.csv", index=False)
    return ["evaluate", "--labels", str(tmp_path / "labels.csv"), "--images", str(tmp_path)]


def test_the_command_writes_figures_and_a_page_and_compares_with_an_earlier_run(
    grey_estimator: AgeEstimator, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_age_resnet50, "load_trained_version", lambda version, engine: grey_estimator)
    first = runner.invoke(app, [*arguments, "--out", str(tmp_path / "one")])
    assert first.exit_code == 0, first.output
    assert "no estimate for 1 of 5 photos: missing" in first.output
    second = runner.invoke(
        app, [*arguments, "--out", str(tmp_path / "two"), *2 * ["--baseline", str(tmp_path / "one")]]
    )
    assert second.exit_code == 0, second.output
    assert " ".join(second.output.split()).count("neither better nor worse for sure than grey-1") == 2
    page = (tmp_path / "two" / "index.html").read_text()
    assert "Against other evaluations" in page
    assert "do not publish it" in page
    assert page.count("data:image/jpeg") == 4  # two photos, each among the worst and among the typical ones


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--split", "tset"], "the labels have no photo of split 'tset': name one of test, valid or all"),
        (["--weights", "age_vgg16-9"], "weights 'age_vgg16-9' are neither a model version nor a folder"),
        (["--baseline", "nowhere"], "baseline folder 'nowhere' has no metrics.json: make it with"),
    ],
)
def test_bad_options_are_explained_with_exit_code_2(
    arguments: list[str], tmp_path: Path, options: list[str], sentence: str
) -> None:
    refused = runner.invoke(app, [*arguments, "--out", str(tmp_path / "out"), *options])
    assert refused.exit_code == 2
    assert sentence in refused.stderr
    assert not (tmp_path / "out").exists()


def test_the_newest_version_judges_photos(estimator: AgeEstimator, tmp_path: Path) -> None:
    synthetic = SyntheticFaces.load(weights_path("synthetic_faces-2"))
    for age in (20, 50):
        face = Image.fromarray(synthetic.sample(age, np.random.default_rng(age)))
        (tmp_path / f"{age}.jpg").write_bytes(photo_bytes(face))
    rows = [(f"{age}.jpg", age, str(age), 0) for age in (20, 50)]
    faces = pd.DataFrame(rows, columns=["file_name", "real_age", "group", "age_conflict"])
    evaluation = evaluate(estimator, faces, tmp_path)
    assert evaluation.metrics["model_version"] == MODEL_VERSIONS[-1]
    estimates = estimator.estimate([(tmp_path / name).read_bytes() for name in faces["file_name"]])
    assert evaluation.predictions["estimated_age_years"].tolist() == pytest.approx(
        [estimate.estimated_age_years for estimate in estimates]
    )


def test_the_folder_of_a_training_can_be_judged_and_is_held_to_its_own_sum(tmp_path: Path) -> None:
    from models.serving.age_resnet50 import build_network
    from models.training.trained_version import load_trained_version

    write_weights(network_weights(build_network("years")), tmp_path / "weights.npz")
    write_manifest(ModelManifest(48, 1.0, 0.9, FACTS), tmp_path / "manifest.json")
    with pytest.raises(ModelInputError, match=r"has no openvino_int8\.xml: make it with `checkout-ages export`"):
        load_trained_version(str(tmp_path))
    loaded = load_trained_version(str(tmp_path), "tensorflow")
    assert loaded.version == tmp_path.name
    assert loaded.estimate_pixels(np.zeros((2, 48, 48, 3), dtype="uint8")).sum(axis=1).tolist() == pytest.approx([1, 1])

    write_manifest(ModelManifest(48, 1.0, 0.9, FACTS, weights_sha256="0" * 64), tmp_path / "manifest.json")
    with pytest.raises(ModelInputError, match="is not the one that its manifest"):
        load_trained_version(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ModelInputError, match="cannot be read"):
        load_trained_version(str(tmp_path))
    (tmp_path / "weights.npz").unlink()
    with pytest.raises(ModelInputError, match=r"has no weights\.npz: name the folder of a finished training"):
        load_trained_version(str(tmp_path))
