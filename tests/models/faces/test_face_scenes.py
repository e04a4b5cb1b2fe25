import numpy as np

from models.faces.face_scenes import HEIGHT_PIXELS, WIDTH_PIXELS, draw_scene, paste_face


def test_a_scene_is_as_large_as_a_camera_photo_and_the_same_for_the_same_seed() -> None:
    one, again = (draw_scene(np.random.default_rng(3)) for _ in range(2))
    assert one.shape == (HEIGHT_PIXELS, WIDTH_PIXELS, 3)
    assert (one == again).all()


def test_a_face_is_pasted_where_it_is_said_to_be_and_nowhere_else() -> None:
    scene = draw_scene(np.random.default_rng(4))
    face = np.full((50, 50, 3), 123, dtype="uint8")
    photo, (left, top) = paste_face(scene, face, 80, np.random.default_rng(5))
    assert (photo[top : top + 80, left : left + 80] == 123).all()
    elsewhere = np.ones(scene.shape[:2], dtype=bool)
    elsewhere[top : top + 80, left : left + 80] = False
    assert (photo[elsewhere] == scene[elsewhere]).all()
