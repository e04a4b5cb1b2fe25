import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from models.cli import app
from models.errors import ModelInputError
from models.serving.age_distribution import MOST_CORRECTION
from models.serving.age_resnet50 import read_weights
from models.serving.model_manifest import parse_manifest
from models.serving.model_versions import MODEL_VERSIONS, WEIGHTS_FOLDER, file_sha256
from models.training.train_age_resnet50 import training_facts
from models.training.trained_version import load_trained_version
from models.training.training_recipe import TrainingRecipe
from tests.given.face_photos import photo_bytes, synthetic_face

EAGERLY = """
import sys, tensorflow
tensorflow.config.run_functions_eagerly(True)
from models.serving.age_resnet50 import read_weights
from models.cli import app
from models.errors import ModelInputError
app(sys.argv[1:])
"""
PATIENCE_SECONDS = 240
SPLITS = ["train", "train", "train", "train", "valid", "test"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve faces of nobody, eight to train, two each to watch and to test."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for row in range(12):
        age_years = 20 + 5 * row
        photo = Image.fromarray(synthetic_face(row, age_years))
        (folder / f"{row}.jpg").write_bytes(photo_bytes(photo, quality=95))
        rows.append(
            (f"{row}.jpg", age_years, f"g{row}", ["train", "train", "train", "train", "valid", "test"][row % 6])
        )
    pd.DataFrame(rows, columns=["file_name", "real_age", "group", "split"]).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture
def without_tracing() -> Iterator[None]:
    """Tracing a ResNet50 for training takes a minute, two steps without it take seconds."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def train_arguments(images: Path, out: Path, *more: str) -> list[str]:
    options = {"--images": images, "--out": out, "--image-size": 32, "--data": "blots, nobody's"}
    return ["train", *(str(word) for option in options.items() for word in option), *more]


def invoke(arguments: list[str]) -> Result:
    return CliRunner(env={"KERAS_BACKEND": "tensorflow"}).invoke(app, arguments)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.usefixtures("without_tracing")
def test_a_killed_training_goes_on_where_it_was_and_gives_a_version(images: Path, tmp_path: Path) -> None:
    (images / "0.jpg").write_bytes(b"not a photo")
    out, epochs = tmp_path / "run", tmp_path / "run" / "epochs.csv"
    arguments = train_arguments(images, out, "--epochs", "2")
    killed = subprocess.Popen([sys.executable, "-c", EAGERLY, *arguments], stdout=subprocess.DEVNULL)
    waiting_until = time.monotonic() + PATIENCE_SECONDS
    while not (epochs.exists() and epochs.read_text().count("\n") >= 2):
        assert killed.poll() is None, "the training ended by itself"
        assert time.monotonic() < waiting_until, "the first epoch takes too long"
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (out / "weights.npz").exists()

    refused = invoke(arguments)
    assert refused.exit_code == 2
    assert "holds a training run: go on with it by --resume" in refused.stderr
    other = invoke([*arguments, "--resume", "--loss", "ordinal"])
    assert "was begun with another loss: resume it with its own options" in other.stderr

    resumed = invoke([*arguments, "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert pd.read_csv(epochs)["epoch"].tolist() == [0, 1]
    assert (out / "left_out.csv").read_text().splitlines() == [
        "file_name,reason",
        "0.jpg,the 11 bytes are neither JPEG nor PNG",
    ]
    manifest = parse_manifest(out / "manifest.json")
    assert manifest.weights_sha256 == file_sha256(out / "weights.npz")
    assert (manifest.image_size, manifest.training.photo_count, manifest.mirrored) == (32, 7, False)
    assert manifest.interval_mass == [1.0] * 101
    assert 0.0 <= manifest.young_adult_correction <= MOST_CORRECTION
    assert (out / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert manifest.second_opinion is not None
    assert manifest.second_opinion.head_sha256 == file_sha256(out / "second_opinion.npz")
    assert 0 < manifest.second_opinion.share < 1


def test_without_epochs_resnet50_stays_and_the_second_opinion_is_trained(images: Path, tmp_path: Path) -> None:
    init = WEIGHTS_FOLDER / MODEL_VERSIONS[-1] / "weights.npz"
    run = invoke(train_arguments(images, tmp_path / "run", "--epochs", "0", "--init", str(init)))
    assert run.exit_code == 0, run.output
    manifest = parse_manifest(tmp_path / "run" / "manifest.json")
    assert (manifest.training.started_from, manifest.training.recipe["epochs"]) == (MODEL_VERSIONS[-1], 0)
    before, after = read_weights(init), read_weights(tmp_path / "run" / "weights.npz")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    version = load_trained_version(str(tmp_path / "run"), "tensorflow")
    assert version.estimate_pixels(np.zeros((1, 32, 32, 3), "uint8")).sum() == pytest.approx(1)

    (tmp_path / "run" / "second_opinion.npz").unlink()
    with pytest.raises(ModelInputError, match=r"has no second_opinion\.npz: name the folder of a finished training"):
        load_trained_version(str(tmp_path / "run"), "tensorflow")


def test_without_epochs_there_must_be_weights(images: Path, tmp_path: Path) -> None:
    refused = invoke(train_arguments(images, tmp_path / "run", "--epochs", "0"))
    assert refused.exit_code == 2
    assert "without epochs ResNet50 stays as it is: name its weights with --init" in refused.stderr


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.usefixtures("without_tracing")
def test_the_seed_recipe_gives_one_number_that_is_sure_of_nothing(images: Path, tmp_path: Path) -> None:
    run = invoke(train_arguments(images, tmp_path / "run", "--recipe", "seed", "--epochs", "1"))
    assert run.exit_code == 0, run.output
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["temperature"], manifest["interval_mass"]) == (1.0, 1.0)
    assert manifest["training"]["recipe"]["head"] == "age"


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.usefixtures("without_tracing")
def test_a_teacher_is_named_by_the_manifest_and_leaves_nothing_in_the_weights(images: Path, tmp_path: Path) -> None:
    names = [f"{row}.jpg" for row in range(12)]
    ages = np.full((12, 101), 1 / 101, "float16")
    teacher = tmp_path / "teacher.npz"
    np.savez(teacher, file_name=names, age_probabilities=ages, embedding=np.ones((12, 4), "float16"))
    arguments = train_arguments(images, tmp_path / "run", "--epochs", "1", "--teacher", str(teacher))
    run = invoke(arguments)
    assert run.exit_code == 0, run.output
    taught_by = parse_manifest(tmp_path / "run" / "manifest.json").training.taught_by
    assert taught_by == f"teacher.npz, sha256 {file_sha256(teacher)}"
    with np.load(tmp_path / "run" / "weights.npz") as weights:
        assert "age_logits/kernel:0" in weights.files
        assert not [name for name in weights.files if "teacher" in name]

    np.savez(teacher, file_name=names, age_probabilities=ages, embedding=np.zeros((12, 4), "float16"))
    other = invoke([*arguments, "--resume"])
    assert "was begun with another teacher: resume it with its own options" in other.stderr


@pytest.mark.parametrize("options", [("--recipe", "seed"), ("--loss", "ordinal")])
def test_what_a_teacher_cannot_teach_is_refused(images: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    refused = invoke(train_arguments(images, tmp_path / "run", *options, "--teacher", str(tmp_path / "teacher.npz")))
    assert refused.exit_code == 2
    assert "a teacher needs the loss label_distribution, not '" in refused.stderr


def test_a_folder_with_too_few_photos_is_refused_by_its_split(images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    pd.read_csv(images / "labels.csv").query("split != 'valid'").to_csv(labels, index=False)
    refused = invoke(train_arguments(images, tmp_path / "run", "--labels", str(labels)))
    assert refused.exit_code == 2
    assert "split 'valid' has 0 photos, training needs 2 or more" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_cannot_start_a_training(images: Path, tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(b"no weights")
    refused = invoke(train_arguments(images, tmp_path / "run", "--init", str(tmp_path / "other.npz")))
    assert refused.exit_code == 2
    assert "other.npz' cannot start the training" in refused.stderr


def test_the_manifest_knows_the_ages_as_they_were_weighed() -> None:
    faces = pd.DataFrame({"real_age": [20, 40, 40, 80], "split": ["train", "train", "train", "valid"]})
    facts = training_facts(
        faces, None, "blots, nobody's", TrainingRecipe(balance_power=0, audited_ages_weight=2, epochs=2)
    )
    assert (facts.started_from, facts.photo_count, facts.recipe["epochs"]) == ("random weights", 3, 2)
    assert (facts.age_prior[20], facts.age_prior[40], sum(facts.age_prior)) == (0.5, 0.5, 1)
