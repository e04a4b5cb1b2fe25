import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.cli import app
from models.faces.face_scenes import draw_scene
from models.serving.age_distribution import expected_age_years
from models.serving.face_finding import FaceFinder
from models.serving.model_versions import MODEL_VERSIONS, WEIGHTS_FOLDER, file_sha256
from models.training.trained_version import load_trained_version
from tests.given.face_photos import committed_estimator, photo_bytes, synthetic_face

PEOPLE = range(24)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder of labelled synthetic faces, most of them of split train, and a photo that is none."""
    folder = tmp_path / "faces"
    folder.mkdir()
    lines = ["file_name,real_age,group,split,age_conflict", "broken.jpg,30,b,train,0"]
    (folder / "broken.jpg").write_bytes(b"no photo")
    for person in PEOPLE:
        face = Image.fromarray(synthetic_face(person, 10 + 3 * person)).resize((200, 200))
        (folder / f"{person}.jpg").write_bytes(photo_bytes(face))
        lines.append(f"{person}.jpg,{10 + 3 * person},{person},{'valid' if person % 8 == 0 else 'train'},0")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def export(faces: Path, weights: str, out: Path) -> str:
    arguments = ["export", "--images", str(faces), "--weights", weights, "--photos", "30", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_version_is_quantised_and_says_nearly_what_tensorflow_says(faces: Path, tmp_path: Path) -> None:
    version = MODEL_VERSIONS[-1]
    out = tmp_path / "quantised"
    printed = export(faces, version, out)
    for name in ("openvino_int8.xml", "openvino_int8.bin"):
        assert f'"quantised/{name}": "{file_sha256(out / name)}",' in printed
    assert str(tmp_path) not in (out / "openvino_int8.xml").read_text(), "a file says nothing of who made it"
    for name in ("weights.npz", "manifest.json", "second_opinion.npz"):
        shutil.copy(WEIGHTS_FOLDER / version / name, out / name)
    pixels = np.stack([synthetic_face(person, 10 + 3 * person) for person in PEOPLE])
    quantised = expected_age_years(load_trained_version(str(out)).estimate_pixels(pixels))
    reference = expected_age_years(committed_estimator("tensorflow").estimate_pixels(pixels))
    assert abs(quantised - reference).mean() < 1.5


def test_the_face_finder_is_quantised_and_finds_a_face(faces: Path, tmp_path: Path) -> None:
    export(faces, "centerface", tmp_path / "finder")
    scene = Image.fromarray(draw_scene(np.random.default_rng(1)))
    scene.paste(Image.fromarray(synthetic_face(0)).resize((300, 300)), (500, 200))
    (face,) = FaceFinder(tmp_path / "finder" / "openvino_int8.xml", threads=1).find(np.asarray(scene))
    assert face.middle == pytest.approx((650, 350), abs=40)


def test_without_a_usable_photo_of_split_train_nothing_is_written(faces: Path, tmp_path: Path) -> None:
    (faces / "labels.csv").write_text("file_name,real_age,group,split,age_conflict\nbroken.jpg,30,b,train,0\n")
    out = tmp_path / "finder"
    arguments = ["export", "--images", str(faces), "--weights", "centerface", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "no photo of split train can be used to measure ranges" in done.output
    assert not out.exists()
