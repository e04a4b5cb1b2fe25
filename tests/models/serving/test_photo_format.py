import zlib

import pytest

from models.serving.photo_format import (
    jpeg_segments,
    plain_jpeg,
    plain_png,
    scan_count,
    unsupported_format,
    with_more_data,
)
from tests.given.face_photos import field_photo, photo_bytes, smooth_photo

PHOTO = smooth_photo(96, 80)
JPEG = photo_bytes(PHOTO)
PNG = photo_bytes(PHOTO, "PNG")


def of_frame(marker: int, precision: int = 8, components: int = 3) -> bytes:
    """Return the photo as if its frame were of another kind."""
    at = JPEG.index(b"\xff\xc0")
    frame = bytearray(JPEG)
    frame[at + 1], frame[at + 4], frame[at + 9] = marker, precision, components
    return bytes(frame)


def iso_file(brand: bytes, *others: bytes) -> bytes:
    box = b"ftyp" + brand + bytes(4) + b"".join(others)
    return (len(box) + 4).to_bytes(4, "big") + box + bytes(100)


@pytest.mark.parametrize(
    ("photo", "name"),
    [
        (photo_bytes(PHOTO, "WEBP"), "WebP"),
        (photo_bytes(PHOTO, "GIF"), "GIF"),
        (photo_bytes(PHOTO, "BMP"), "BMP"),
        (photo_bytes(PHOTO, "TIFF"), "TIFF"),
        (b"MM\x00*" + bytes(100), "TIFF"),
        (photo_bytes(PHOTO, "JPEG2000"), "JPEG 2000"),
        (photo_bytes(PHOTO, "JPEG2000", no_jp2=True), "JPEG 2000"),
        (photo_bytes(PHOTO, "AVIF"), "AVIF"),
        (iso_file(b"heic", b"mif1"), "HEIC"),
        (iso_file(b"mif1", b"miaf", b"heic"), "HEIC"),
        (iso_file(b"mif1"), "HEIF"),
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL"),
        (of_frame(0xC1, precision=12), "12-bit JPEG"),
        (of_frame(0xC3), "lossless JPEG"),
        (of_frame(0xC5), "hierarchical JPEG"),
        (of_frame(0xF7), "JPEG-LS"),
        (field_photo("jpeg_ls.jls"), "JPEG-LS"),
        (field_photo("lossless.jpg"), "lossless JPEG"),
        (field_photo("sampling_fractional.jpg"), "JPEG of fractional sampling"),
        (b"BM" + bytes(12) + b"\x10\x00\x00\x00" + bytes(100), "BMP"),
        (of_frame(0xC0, components=2), "JPEG of 2 components"),
    ],
)
def test_a_format_that_is_not_read_is_named(photo: bytes, name: str) -> None:
    assert unsupported_format(photo) == name


@pytest.mark.parametrize(
    "content", [JPEG, PNG, b"", b"BMP is a format", b"RIFF....WAVE", iso_file(b"mp42"), b"GIF", JPEG[:150]]
)
def test_what_is_read_or_is_no_photo_is_not_named(content: bytes) -> None:
    assert unsupported_format(content) is None


def test_a_jpeg_is_taken_apart_by_its_segments_and_junk_between_them_is_skipped() -> None:
    markers = [segment.marker for segment in jpeg_segments(JPEG)]
    assert (markers[0], markers[-2:]) == (0xE0, [0xDA, 0xD9])
    at = JPEG.index(b"\xff\xdb")
    for junk in (b"\x00\x00\x17", b"\xff\xff\xff", b"\xff\x00\xff\x00"):
        dirty = JPEG[:at] + junk + JPEG[at:] + b"behind the end"
        assert [segment.marker for segment in jpeg_segments(dirty)] == markers
        assert plain_jpeg(dirty).count(b"\xff\xdb") == JPEG.count(b"\xff\xdb")
        assert plain_jpeg(dirty) == plain_jpeg(JPEG)


def test_scans_are_counted_without_the_metadata() -> None:
    assert scan_count(JPEG) == 1
    assert scan_count(JPEG[:2] + b"\xff\xfe\x00\x06\xff\xda\xff\xda" + JPEG[2:]) == 1
    assert scan_count(photo_bytes(PHOTO, progressive=True)) > 5


def test_a_plain_jpeg_keeps_how_the_camera_was_held_and_no_comment() -> None:
    exif = b"\xff\xe1\x00\x0aExif\x00\x00II"
    comment, profile = b"\xff\xfe\x00\x04ab", b"\xff\xe2\x00\x04cd"
    plain = plain_jpeg(JPEG[:2] + exif + comment + profile + JPEG[2:])
    assert (exif in plain, comment in plain, profile in plain) == (True, False, False)


def test_more_data_than_a_file_may_be_given_is_refused() -> None:
    at = JPEG.index(b"\xff\xd9")
    with pytest.raises(ValueError, match="more than 100000 restarts"):
        with_more_data(JPEG[:at] + b"\xff\xd0" * 100_001 + JPEG[at:])


def png_chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return len(content).to_bytes(4, "big") + kind + content + checksum.to_bytes(4, "big")


def test_a_plain_png_has_no_text_whatever_is_wrong_with_it() -> None:
    text, wrong = png_chunk(b"tEXt", b"key\0" + bytes(3_000_000)), png_chunk(b"zTXt", b"key", checksum=1)
    assert plain_png(PNG[:33] + text + wrong + PNG[33:]) == plain_png(PNG)


def test_a_plain_png_keeps_its_pixels_and_a_sound_orientation() -> None:
    sound, damaged = png_chunk(b"eXIf", b"II*\0"), png_chunk(b"eXIf", b"II*\0", checksum=1)
    assert sound in plain_png(PNG[:33] + sound + PNG[33:])
    assert damaged not in plain_png(PNG[:33] + damaged + PNG[33:])
    for end in (33, len(PNG) - 40, len(PNG) - 1):
        assert plain_png(PNG[:end]).endswith(PNG[end - 5 : end])
