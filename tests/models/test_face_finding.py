import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import synthetic_face
from PIL import Image

from models.face_finding import SEARCHES, Face, FaceFinder, _search_for, prominence
from models.face_scenes import draw_scene
from models.weights import WEIGHTS_FOLDER, WeightsError


def scene_with(*faces: tuple[int, int, int], seed: int = 1, size: tuple[int, int] = (1280, 720)) -> np.ndarray:
    """Return a drawn shop, or a part of it, with synthetic faces at (left, top, side)."""
    scene = Image.fromarray(draw_scene(np.random.default_rng(seed))).resize(size)
    for person, (left, top, side) in enumerate(faces):
        scene.paste(Image.fromarray(synthetic_face(person)).resize((side, side)), (left, top))
    return np.asarray(scene)


def is_within(face: Face, left: int, top: int, side: int) -> bool:
    x, y = face.middle
    return abs(x - left - side / 2) < side / 5 and abs(y - top - side / 2) < side / 5 and 0.6 < face.side / side < 1.2


@pytest.mark.parametrize("place", [(800, 300, 90), (100, 420, 220), (500, 60, 400)])
def test_a_face_in_a_camera_photo_is_found_where_it_is(finder: FaceFinder, place):
    (face,) = finder.find(scene_with(place))
    assert is_within(face, *place)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (900, 900), (200, 200)])
def test_a_face_is_found_in_a_photo_of_any_shape(finder: FaceFinder, size):
    side = min(size) // 2
    place = (size[0] // 4, size[1] // 4, side)
    (face,) = finder.find(scene_with(place, size=size))
    assert is_within(face, *place)


def test_of_several_faces_the_most_prominent_comes_first_and_each_comes_once(finder: FaceFinder):
    places = [(40, 40, 160), (560, 250, 200), (1000, 480, 160)]
    faces = finder.find(scene_with(*places))
    assert len(faces) == 3
    assert is_within(faces[0], *places[1])


@pytest.mark.parametrize("seed", range(4))
def test_shelves_and_walls_have_no_face(finder: FaceFinder, seed):
    assert finder.find(draw_scene(np.random.default_rng(seed))) == []


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_photo_of_one_colour_has_no_face(finder: FaceFinder, grey):
    assert finder.find(np.full((240, 320, 3), grey, dtype="uint8")) == []


def test_threads_find_what_one_after_the_other_finds(finder: FaceFinder):
    photos = [scene_with((100 * k, 50 * k, 150 + 20 * k), seed=k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(finder.find, photos)) == [finder.find(photo) for photo in photos]


def test_the_larger_face_wins_and_of_two_alike_the_one_nearer_to_the_middle():
    large, middle, corner = Face(0, 0, 300, 300, 0.9), Face(600, 320, 680, 400, 0.9), Face(0, 0, 80, 80, 0.9)
    ranked = sorted([corner, middle, large], key=lambda face: -prominence(face, 1280, 720))
    assert ranked == [large, middle, corner]


def test_a_photo_is_searched_in_the_shape_that_shows_it_largest():
    sizes = [(200, 200), (640, 480), (480, 640), (1920, 1080), (1080, 1920), (800, 800)]
    assert [_search_for(*size) for size in sizes] == list(SEARCHES)


def test_a_small_face_is_found_by_the_fine_search_and_a_large_one_without_it(finder: FaceFinder, monkeypatch):
    searched: list[tuple[int, int]] = []
    search = FaceFinder._search

    def noted(self: FaceFinder, pixels: np.ndarray, shape: tuple[int, int], score: float) -> object:
        searched.append(shape)
        return search(self, pixels, shape, score)

    monkeypatch.setattr(FaceFinder, "_search", noted)
    large, small = (500, 200, 300), (800, 300, 80)
    assert is_within(finder.find(scene_with(large))[0], *large)
    assert is_within(finder.find(scene_with(small))[0], *small)
    assert searched == [(320, 192), (320, 192), (640, 384)]


def test_an_altered_finder_is_refused(tmp_path):
    shutil.copytree(WEIGHTS_FOLDER / "centerface", tmp_path / "centerface")
    (tmp_path / "centerface" / "openvino_int8.bin").write_bytes(b"not the network")
    with pytest.raises(WeightsError, match=r"openvino_int8\.bin' was altered"):
        FaceFinder.load(folder=tmp_path)


TOGETHER = """
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from models.face_finding import FaceFinder

finder = FaceFinder.load(threads=1)
photos = [np.zeros(shape, dtype="uint8") for shape in [(90, 90, 3), (400, 300, 3), (300, 400, 3)] * 4]
with ThreadPoolExecutor(len(photos)) as pool:
    print(sum(len(faces) for faces in pool.map(finder.find, photos)))
"""


def test_the_first_photos_of_a_process_may_come_from_many_threads_at_once():
    """OpenVINO sets itself up at its first array and waits for itself for ever when two threads bring the first."""
    run = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.split() == ["0"]
