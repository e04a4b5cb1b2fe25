"""Tests of a representative part of the hostile photos; `python -m tests.reliability` tries all and their mutations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.serving.face_finding import FaceFinder
from models.serving.face_photo import read_face
from tests.reliability.hostile_files import TURNED, _exif, corpus, encoded, face, jpeg_of_many_scans, mutated
from tests.reliability.hostile_photos import (
    MEMORY_BOUND_MIB,
    planted_files,
    representative,
    try_at_once,
    try_each,
)


@pytest.mark.slow
def test_no_hostile_photo_crashes_or_hangs_a_worker_and_each_has_a_status_that_fits(tmp_path: Path) -> None:
    files = [*representative(corpus()), *mutated(60)]
    outcomes = try_each(tmp_path, files)
    assert (outcomes.tried, outcomes.crashed, outcomes.hung, outcomes.wrong) == (len(files), [], [], [])


@pytest.mark.slow
def test_a_crash_a_hang_and_a_wrong_status_are_found_out(tmp_path: Path) -> None:
    controls = try_each(tmp_path, planted_files(), with_controls=True)
    assert controls.tried == 4
    assert [len(found) for found in (controls.crashed, controls.hung, controls.wrong)] == [1, 1, 1]


@pytest.mark.slow
def test_a_task_stays_within_its_memory_whatever_photos_land(tmp_path: Path) -> None:
    peak_mib, wrong = try_at_once(tmp_path, list(representative(corpus())))
    assert wrong == []
    assert 0 < peak_mib < MEMORY_BOUND_MIB


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_turned_photo_gives_the_same_crop_as_the_upright_one(kind: str, orientation: int) -> None:
    finder = FaceFinder.load(threads=1)
    upright = read_face(encoded(face(), kind), finder, 112)
    turned = read_face(encoded(face().transpose(TURNED[orientation]), kind, exif=_exif(orientation)), finder, 112)
    difference = np.abs(upright.pixels.astype(int) - turned.pixels.astype(int)).mean()
    assert difference < (1 if kind == "PNG" else 8)


def test_the_photo_of_many_scans_is_a_sound_one_but_for_their_number() -> None:
    finder = FaceFinder.load(threads=1)
    with pytest.raises(Exception, match="no face was found in the 640 × 640 pixels"):
        read_face(jpeg_of_many_scans(640, 64), finder, 112)
    with pytest.raises(Exception, match="it has 65 scans, the limit is 64"):
        read_face(jpeg_of_many_scans(640, 65), finder, 112)
