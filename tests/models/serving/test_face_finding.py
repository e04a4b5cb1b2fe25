import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.faces.face_scenes import draw_scene
from models.serving.face_crop import middle_square
from models.serving.face_finding import (
    CLOSE_SHAPE,
    GLANCE_SHAPE,
    LARGEST_OVERLAP,
    SEARCHES,
    Face,
    FaceFinder,
    _boxes,
    _search_for,
    _window,
    _without_doubles,
    prominence,
    reduced_to_shape,
)
from models.serving.face_photo import read_face
from models.serving.model_versions import WEIGHTS_FOLDER, WeightsError
from tests.given.face_photos import photo_bytes, synthetic_face


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
def test_a_face_in_a_camera_photo_is_found_where_it_is(finder: FaceFinder, place: tuple[int, int, int]) -> None:
    (face,) = finder.find(scene_with(place))
    assert is_within(face, *place)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (900, 900), (200, 200)])
def test_a_face_is_found_in_a_photo_of_any_shape(finder: FaceFinder, size: tuple[int, int]) -> None:
    side = min(size) // 2
    place = (size[0] // 4, size[1] // 4, side)
    (face,) = finder.find(scene_with(place, size=size))
    assert is_within(face, *place)


def test_of_several_faces_the_most_prominent_comes_first_and_each_comes_once(finder: FaceFinder) -> None:
    places = [(40, 40, 160), (560, 250, 200), (1000, 480, 160)]
    faces = finder.find(scene_with(*places))
    assert len(faces) == 3
    assert is_within(faces[0], *places[1])


@pytest.mark.parametrize("seed", range(4))
def test_shelves_and_walls_have_no_face(finder: FaceFinder, seed: int) -> None:
    assert finder.find(draw_scene(np.random.default_rng(seed))) == []


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_photo_of_one_colour_has_no_face(finder: FaceFinder, grey: int) -> None:
    assert finder.find(np.full((240, 320, 3), grey, dtype="uint8")) == []


def test_threads_find_what_one_after_the_other_finds(finder: FaceFinder) -> None:
    photos = [scene_with((100 * k, 50 * k, 150 + 20 * k), seed=k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(finder.find, photos)) == [finder.find(photo) for photo in photos]


def test_the_larger_face_wins_and_of_two_alike_the_one_nearer_to_the_middle() -> None:
    large, middle, corner = Face(0, 0, 300, 300, 0.9), Face(600, 320, 680, 400, 0.9), Face(0, 0, 80, 80, 0.9)
    ranked = sorted([corner, middle, large], key=lambda face: -prominence(face, 1280, 720))
    assert ranked == [large, middle, corner]


def test_a_photo_is_searched_in_the_shape_that_shows_it_largest() -> None:
    sizes = [(200, 200), (640, 480), (480, 640), (1920, 1080), (1080, 1920), (800, 800)]
    assert [_search_for(*size) for size in sizes] == list(SEARCHES)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The (width, height) of what the network is given from now on."""
    shapes: list[tuple[int, int]] = []
    search = FaceFinder._search

    def noted(self: FaceFinder, canvas: np.ndarray, scale: float, smallest_score: float) -> np.ndarray:
        shapes.append((canvas.shape[2], canvas.shape[1]))
        return search(self, canvas, scale, smallest_score)

    monkeypatch.setattr(FaceFinder, "_search", noted)
    return shapes


def test_a_large_face_is_found_by_the_coarse_search_alone(finder: FaceFinder, searched: list[tuple[int, int]]) -> None:
    large = (500, 200, 300)
    assert is_within(finder.find(scene_with(large))[0], *large)
    assert searched == [(256, 160)]


def test_a_face_that_the_coarse_search_is_not_sure_of_is_looked_at_closely(
    finder: FaceFinder, searched: list[tuple[int, int]]
) -> None:
    small = (800, 300, 100)
    assert is_within(finder.find(scene_with(small))[0], *small)
    assert searched == [(256, 160), CLOSE_SHAPE]


def test_a_face_of_which_the_coarse_search_shows_nothing_is_found_by_the_fine_one(
    finder: FaceFinder, searched: list[tuple[int, int]]
) -> None:
    smaller = (800, 300, 50)
    assert is_within(finder.find(scene_with(smaller))[0], *smaller)
    assert searched == [(256, 160), (640, 384)]


def test_a_wide_photo_is_searched_in_no_more_than_it_fills(finder: FaceFinder, searched: list[tuple[int, int]]) -> None:
    large = (250, 60, 200)
    assert is_within(finder.find(scene_with(large, size=(640, 360)))[0], *large)
    assert searched == [(224, 128)]


def test_a_tight_crop_is_searched_once_at_a_glance(finder: FaceFinder, searched: list[tuple[int, int]]) -> None:
    for person in range(4):
        crop = Image.fromarray(synthetic_face(person)).resize((200, 200))
        assert read_face(photo_bytes(crop), finder, 112).square == middle_square(200, 200)
    assert searched == [GLANCE_SHAPE] * 4


@pytest.mark.parametrize(("place", "size", "glances"), [((50, 50, 100), (200, 200), 1), ((60, 40, 100), (250, 180), 0)])
def test_a_face_that_does_not_fill_a_small_photo_is_searched_for_as_in_any(
    finder: FaceFinder,
    searched: list[tuple[int, int]],
    place: tuple[int, int, int],
    size: tuple[int, int],
    glances: int,
) -> None:
    photo = scene_with(place, size=size)
    square = read_face(photo_bytes(Image.fromarray(photo), quality=95), finder, 112).square
    assert square.side * size[1] == pytest.approx(place[2], rel=0.25)
    assert searched.count(GLANCE_SHAPE) == glances
    assert len(searched) > glances


def test_each_cell_that_scores_gives_the_box_that_its_numbers_say() -> None:
    random = np.random.default_rng(0)
    heatmap, *others = (random.random((channels, 5, 7), dtype=np.float32) for channels in (1, 2, 2, 10))
    expected = []
    for row, column in zip(*np.nonzero(heatmap[0] >= 0.6), strict=True):
        (height, width), (y, x), shares = (output[:, row, column].astype(float) for output in others)
        height, width = 4 * np.exp(height), 4 * np.exp(width)
        left, top = 4 * (column + x + 0.5) - width / 2, 4 * (row + y + 0.5) - height / 2
        points = [left + width * shares[1::2], top + height * shares[::2]]
        edges = [left, top, left + width, top + height]
        expected.append([*edges, heatmap[0, row, column], *np.stack(points, axis=1).ravel()])
    assert _boxes([heatmap, *others], 0.6) == pytest.approx(np.array(expected))
    assert _boxes([heatmap, *others], 2).shape == (0, 15)


def test_a_photo_without_a_face_is_searched_finely_too(finder: FaceFinder, searched: list[tuple[int, int]]) -> None:
    assert finder.find(draw_scene(np.random.default_rng(1))) == []
    assert searched[-1] == (640, 384)


@pytest.mark.parametrize("size", [(640, 480), (479, 641), (1920, 1080), (200, 150), (5000, 40)])
def test_each_pixel_of_a_photo_reduced_by_a_whole_number_is_the_mean_of_a_square(size: tuple[int, int]) -> None:
    width, height = size
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shape = _search_for(width, height)[0]
    canvas, scale = reduced_to_shape(photo, shape)
    divisor = round(1 / scale)
    whole = photo[: height // divisor * divisor, : width // divisor * divisor].astype(float)
    means = whole.reshape(height // divisor, divisor, width // divisor, divisor, 3).mean(axis=(1, 3))
    rows, columns = means.shape[:2]
    assert rows <= canvas.shape[1] <= shape[1]
    assert columns <= canvas.shape[2] <= shape[0]
    assert np.abs(canvas[0, :rows, :columns] - means).max() < 0.6
    assert not canvas[0, rows + 1 :].any()
    assert not canvas[0, :, columns + 1 :].any()


@given(st.tuples(st.floats(0, 1), st.floats(0, 1)), st.floats(1, 700), st.integers(32, 1280), st.integers(32, 960))
def test_the_window_for_a_closer_look_holds_the_middle_of_the_face_and_begins_in_the_photo(
    place: tuple[float, float], side: float, width: int, height: int
) -> None:
    x, y = place[0] * (width - 1), place[1] * (height - 1)
    face = Face(x - side / 2, y - side / 2, x + side / 2, y + side / 2, score=0.2)
    left, top, window = _window(face, width, height)
    assert 0 <= left <= x < left + window
    assert 0 <= top <= y < top + window
    assert left == 0 or left + window <= width
    assert top == 0 or top + window <= height


@given(st.lists(st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(5, 60)] * 2, st.floats(0.1, 1)), max_size=12))
def test_of_boxes_that_overlap_the_best_is_kept_as_when_taken_one_by_one(
    drawn: list[tuple[int, int, int, int, float]],
) -> None:
    points = (0.0,) * 10
    boxes = np.array([(x, y, x + w, y + h, score, *points) for x, y, w, h, score in drawn]).reshape(-1, 15)
    kept: list[np.ndarray] = []
    for box in boxes[np.argsort(-boxes[:, 4])]:
        if all(intersection_over_union(box, other) <= LARGEST_OVERLAP for other in kept):
            kept.append(box)
    assert _without_doubles(boxes).tolist() == [box.tolist() for box in kept]


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> float:
    across = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / (sum(areas) - across * down)


def test_an_altered_finder_is_refused(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS_FOLDER / "centerface", tmp_path / "centerface")
    (tmp_path / "centerface" / "openvino_int8.bin").write_bytes(b"not the network")
    with pytest.raises(WeightsError, match=r"openvino_int8\.bin' was altered"):
        FaceFinder.load(folder=tmp_path)


TOGETHER = """
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from models.serving.face_finding import FaceFinder

finder = FaceFinder.load(threads=1)
photos = [np.zeros(shape, dtype="uint8") for shape in [(90, 90, 3), (400, 300, 3), (300, 400, 3)] * 4]
with ThreadPoolExecutor(len(photos)) as pool:
    print(sum(len(faces) for faces in pool.map(finder.find, photos)))
"""


def test_the_first_photos_of_a_process_may_come_from_many_threads_at_once() -> None:
    """OpenVINO sets itself up at its first array and waits for itself for ever when two threads bring the first."""
    run = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.split() == ["0"]
