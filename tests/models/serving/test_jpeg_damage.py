import numpy as np
import pytest
from PIL import Image

from models.serving.jpeg_damage import leaves_every_pixel
from models.serving.photo_format import RESTART, jpeg_segments
from models.serving.photo_preprocessing import UnusablePhotoError, decode_photo
from tests.given.face_photos import committed_estimator, drawn_face, field_photo, photo_bytes

SOUND = field_photo("face_drawn.jpg")
WITH_RESTARTS = photo_bytes(Image.fromarray(drawn_face()), restart_marker_rows=1)
ODD_LAYOUT = field_photo("sampling_2x2_1x1_1x2.jpg")


def place(photo: bytes, marker: int) -> int:
    return next(segment.start for segment in jpeg_segments(photo) if segment.marker == marker)


def inserted(photo: bytes, at: int, content: bytes) -> bytes:
    return photo[:at] + content + photo[at:]


def restarts(photo: bytes) -> list[int]:
    scan = next(segment for segment in jpeg_segments(photo) if segment.pixels_start)
    return [found.start() for found in RESTART.finditer(photo, scan.pixels_start or 0, scan.end)]


def second_restart() -> int:
    return restarts(WITH_RESTARTS)[1]


ODD_WITH_RESTARTS = field_photo("sampling_with_restarts.jpg")
"""Sampling 2x2, 1x1, 1x2 with a restart after each row of MCUs."""
SEPARATE_SCANS = field_photo("separate_scans.jpg")
"""Not progressive, with a scan for each component."""
CMYK = photo_bytes(Image.fromarray(drawn_face()).convert("CMYK"))

USABLE = {
    "junk before the tables": inserted(SOUND, place(SOUND, 0xDB), b"\x00\x11\x22"),
    "junk before the scan": inserted(SOUND, place(SOUND, 0xDA), b"\x01" * 300),
    "padding before a comment": inserted(SOUND, place(SOUND, 0xDB), bytes(64) + b"\xff\xff\xfe\x00\x05abc"),
    "zeros before the end": inserted(SOUND, place(SOUND, 0xD9), bytes(16)),
    "words before the end": inserted(SOUND, place(SOUND, 0xD9), b"camera 7"),
    "bytes before a restart": inserted(WITH_RESTARTS, second_restart(), b"\x01\x02"),
    "fill bytes before a restart": inserted(WITH_RESTARTS, second_restart(), b"\xff\xff"),
    "junk behind the end": SOUND + bytes(500),
    "junk before the first marker": inserted(SOUND, 2, b"\r\n"),
    "much junk before the first marker": inserted(SOUND, 2, b"\x01" * 3_000),
    "separate scans": SEPARATE_SCANS,
    "junk between separate scans": inserted(SEPARATE_SCANS, place(SEPARATE_SCANS, 0xDA), b"camera 7"),
    "odd sampling with restarts": ODD_WITH_RESTARTS,
    "odd sampling with padding before a restart": inserted(
        ODD_WITH_RESTARTS, restarts(ODD_WITH_RESTARTS)[1], bytes(9) + b"\xff" * 9
    ),
    "CMYK": CMYK,
    "CMYK with junk before the tables": inserted(CMYK, place(CMYK, 0xDB), b"\x00\x11"),
    "CMYK with a bad profile": inserted(CMYK, 2, b"\xff\xe2\x00\x10ICC_PROFILE\x00\x05\x02"),
}


@pytest.mark.parametrize("name", ["two_bytes_before_restart.jpg", "sampling_2x2_1x1_1x2.jpg", "bad_crc_of_text.png"])
def test_a_photo_of_the_field_that_is_usable_is_estimated_as_the_one_without_fault(name: str) -> None:
    sound, odd = committed_estimator("openvino").estimate([SOUND, field_photo(name)])
    assert (odd.estimate_status, odd.estimate_reason) == ("estimated", None)
    assert odd.estimated_age_years == pytest.approx(sound.estimated_age_years, abs=1)


@pytest.mark.parametrize("photo", USABLE.values(), ids=USABLE)
def test_what_libjpeg_skips_with_a_warning_costs_no_pixel(photo: bytes) -> None:
    assert np.abs(decode_photo(photo, 200).astype(int) - drawn_face()).mean() < 2


def test_blocks_beyond_the_edge_of_the_picture_are_no_data_left_over() -> None:
    assert decode_photo(field_photo("sampling_with_full_edge_blocks.jpg"), 100).shape == (117, 150, 3)


@pytest.mark.parametrize(
    "photo",
    [
        SOUND,
        WITH_RESTARTS,
        ODD_LAYOUT,
        ODD_WITH_RESTARTS,
        SEPARATE_SCANS,
        CMYK,
        field_photo("sampling_with_full_edge_blocks.jpg"),
        USABLE["junk before the tables"],
    ],
)
def test_a_photo_that_was_cut_and_closed_with_an_end_marker_is_truncated(photo: bytes) -> None:
    first = place(photo, 0xDA) + 20
    for end in range(first, len(photo) - 40, 131):
        assert status(photo[:end] + b"\xff\xd9") == "truncated", end


def test_a_photo_that_was_cut_behind_a_restart_is_truncated_though_each_run_is_whole() -> None:
    at = second_restart()
    junk = inserted(WITH_RESTARTS[:at], at - 100, b"")
    assert status(junk + b"\xff\xd9") == "truncated"
    assert status(WITH_RESTARTS[: at + 2] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("photo", [WITH_RESTARTS, ODD_WITH_RESTARTS])
def test_a_photo_whose_runs_of_pixels_are_not_all_there_and_in_order_is_truncated(photo: bytes) -> None:
    second, third = restarts(photo)[1:3]
    assert status(photo[:second] + photo[second + 2 :]) == "truncated", "a restart is missing"
    assert status(photo[:second] + b"\xff\xd6" + photo[second + 2 :]) == "truncated", "a restart is another"
    assert status(photo[:second] + photo[third:]) == "truncated", "a run is missing"
    assert status(photo[:second] + b"\xff\xd0\xff\xd9") == "truncated", "the rest is missing"


def test_a_photo_that_was_cut_between_the_scans_of_its_components_is_truncated() -> None:
    scans = [segment for segment in jpeg_segments(SEPARATE_SCANS) if segment.pixels_start]
    for scan in scans[:-1]:
        assert status(SEPARATE_SCANS[: scan.end] + b"\xff\xd9") == "truncated"
        assert status(SEPARATE_SCANS[: scan.end - 30] + b"\x55" * 9 + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("fill", [bytes(80), bytes(400), b"\x55" * 200])
def test_a_photo_whose_pixels_are_damaged_is_truncated_whatever_else_is_odd_about_it(fill: bytes) -> None:
    scan = next(segment for segment in jpeg_segments(SOUND) if segment.pixels_start)
    middle = (scan.pixels_start + scan.end) // 2
    damaged = SOUND[:middle] + fill + SOUND[middle + len(fill) :]
    assert status(damaged) == "truncated"
    assert status(inserted(damaged, place(damaged, 0xDB), b"junk")) == "truncated"


@pytest.mark.parametrize(("at_share", "fill"), [(0.2, b"\x55" * 60), (0.5, bytes(range(1, 61)))])
def test_a_photo_of_an_odd_layout_that_has_too_little_data_or_too_much_is_truncated(
    at_share: float, fill: bytes
) -> None:
    scan = next(segment for segment in jpeg_segments(ODD_LAYOUT) if segment.pixels_start)
    at = int(scan.pixels_start + at_share * (scan.end - scan.pixels_start))
    assert status(ODD_LAYOUT[:at] + fill + ODD_LAYOUT[at + 60 :]) == "truncated"


def test_only_warnings_that_are_known_to_be_harmless_are_taken_so() -> None:
    assert leaves_every_pixel("Corrupt JPEG data: 608 extraneous bytes before marker 0xfe")
    assert leaves_every_pixel("tjDecompressHeader3(): Could not determine subsampling level of JPEG image")
    for damage in (
        "Corrupt JPEG data: premature end of data segment",
        "Corrupt JPEG data: bad Huffman code",
        "Corrupt JPEG data: found marker 0xd9 instead of RST3",
        "Premature end of JPEG file",
        "anything else",
    ):
        assert not leaves_every_pixel(damage)


def status(photo: bytes) -> str:
    try:
        decode_photo(photo, 200)
    except UnusablePhotoError as unusable:
        return unusable.status
    return "decoded"
