from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from models.faces.near_duplicates import near_duplicate_groups, pairs_within
from models.faces.synthetic_faces import SyntheticFaces
from models.serving.model_versions import weights_path
from tests.given.face_photos import photo_bytes


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    """Six faces of nobody, all as alike as faces are that were aligned."""
    synthetic = SyntheticFaces.load(weights_path("synthetic_faces-2"))
    return [Image.fromarray(synthetic.sample(20 + 10 * seed, np.random.default_rng(seed))) for seed in range(6)]


def test_a_photo_saved_again_scaled_cropped_or_brightened_is_a_near_duplicate(
    tmp_path: Path, faces: list[Image.Image]
) -> None:
    face = faces[0].resize((200, 200))
    variants = {
        "plain.jpg": photo_bytes(face, quality=95),
        "again.jpg": photo_bytes(face, quality=40),
        "small.png": photo_bytes(face.resize((90, 90)), "PNG"),
        "cropped.jpg": photo_bytes(face.crop((2, 2, 198, 198))),
        "brighter.jpg": photo_bytes(ImageEnhance.Brightness(face).enhance(1.2)),
    }
    for name, photo in variants.items():
        (tmp_path / name).write_bytes(photo)
    assert len(set(near_duplicate_groups(tmp_path, list(variants)))) == 1


def test_different_faces_are_in_different_groups(tmp_path: Path, faces: list[Image.Image]) -> None:
    names = [f"{seed}.jpg" for seed in range(6)]
    for name, face in zip(names, faces, strict=True):
        (tmp_path / name).write_bytes(photo_bytes(face))
    assert sorted(near_duplicate_groups(tmp_path, names)) == [0, 1, 2, 3, 4, 5]


def test_missing_and_broken_photos_are_groups_of_their_own(tmp_path: Path, faces: list[Image.Image]) -> None:
    (tmp_path / "face.jpg").write_bytes(photo_bytes(faces[0]))
    (tmp_path / "copy.jpg").write_bytes(photo_bytes(faces[0]))
    (tmp_path / "broken.jpg").write_bytes(photo_bytes(faces[0])[:300])
    names = ["gone.jpg", "face.jpg", "broken.jpg", "copy.jpg", "gone too.jpg"]
    gone, face, broken, copy, gone_too = near_duplicate_groups(tmp_path, names)
    assert face == copy
    assert len({gone, broken, gone_too, face}) == 4


def test_no_photos_are_no_groups(tmp_path: Path) -> None:
    assert near_duplicate_groups(tmp_path, []).tolist() == []


@pytest.mark.parametrize("distance", [0, 3, 9])
def test_the_banded_search_finds_what_comparing_all_pairs_finds(distance: int) -> None:
    random = np.random.default_rng(distance)
    centres = random.random((12, 64)) < 0.5
    hashes = np.repeat(centres, 5, axis=0) ^ (random.random((60, 64)) < 0.06)
    by_brute_force = [
        [one, other] for one, other in combinations(range(60), 2) if (hashes[one] ^ hashes[other]).sum() <= distance
    ]
    assert pairs_within(hashes, distance).tolist() == by_brute_force


def test_twenty_thousand_hashes_are_searched_without_comparing_all() -> None:
    hashes = np.random.default_rng(1).random((20_000, 256)) < 0.5
    hashes[19_999] = hashes[0]
    assert pairs_within(hashes, 32).tolist() == [[0, 19_999]]
