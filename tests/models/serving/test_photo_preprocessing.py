import contextlib
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.serving.photo_preprocessing import (
    DEFAULT_LIMITS,
    PhotoLimits,
    Pixels,
    UnusablePhotoError,
    decode_photo,
    image_of,
    pixels_in_fours,
    pixels_of,
    to_network_input,
)
from tests.given.face_photos import exif_orientation, field_photo, photo_bytes, smooth_photo

PHOTO = smooth_photo(96, 80)
JPEGS = {
    "baseline": photo_bytes(PHOTO),
    "progressive": photo_bytes(PHOTO, progressive=True),
    "grey": photo_bytes(PHOTO.convert("L")),
    "cmyk": photo_bytes(PHOTO.convert("CMYK")),
    "turned": photo_bytes(PHOTO, exif=exif_orientation(6)),
}
PNGS = {
    "rgb": photo_bytes(PHOTO, "PNG"),
    "palette": photo_bytes(PHOTO.quantize(256), "PNG"),
    "grey with alpha": photo_bytes(PHOTO.convert("LA"), "PNG"),
    "16 bit": photo_bytes(Image.fromarray(np.asarray(PHOTO.convert("L")).astype("uint16") * 257), "PNG"),
}


def why_unusable(photo: bytes, limits: PhotoLimits = DEFAULT_LIMITS) -> tuple[str, str]:
    with pytest.raises(UnusablePhotoError) as caught:
        decode_photo(photo, 64, limits)
    return caught.value.status, caught.value.reason


def mean_difference(pixels: Pixels, image: Image.Image) -> float:
    return float(np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"))).mean())


@pytest.mark.parametrize("kind", ["baseline", "progressive", "cmyk"])
def test_a_jpeg_of_any_kind_keeps_its_colours(kind: str) -> None:
    assert mean_difference(decode_photo(JPEGS[kind], 96), PHOTO) < 3


@pytest.mark.parametrize("kind", ["rgb", "palette"])
def test_a_png_keeps_its_colours(kind: str) -> None:
    assert mean_difference(decode_photo(PNGS[kind], 96), PHOTO) < 8


def test_a_grey_photo_becomes_three_equal_channels() -> None:
    pixels = decode_photo(JPEGS["grey"], 96)
    assert pixels.shape == (80, 96, 3)
    assert np.ptp(pixels, axis=2).max() == 0


def test_a_png_of_16_bits_keeps_its_brightness() -> None:
    assert mean_difference(decode_photo(PNGS["16 bit"], 96), PHOTO.convert("L")) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = Image.fromarray(np.zeros((64, 48, 3), dtype="uint8"))
    upright.paste((255, 255, 255), (0, 0, 24, 16))
    as_stored = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    photo = photo_bytes(as_stored, exif=exif_orientation(orientation), quality=95)
    assert mean_difference(decode_photo(photo, 64), upright) < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_photo_is_decoded_at_a_reduced_scale_but_not_below_the_wanted_side(kind: str) -> None:
    height, width, _ = decode_photo(photo_bytes(smooth_photo(1600, 1200), kind), 112).shape
    assert (width, height) == (200, 150)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_cut_anywhere_is_truncated(kind: str) -> None:
    photo = JPEGS[kind]
    for end in [*range(3, len(photo), 17), len(photo) - 2, len(photo) - 1]:
        assert why_unusable(photo[:end])[0] == "truncated", end


@pytest.mark.parametrize("kind", ["baseline", "grey", "cmyk", "turned"])
def test_a_jpeg_cut_and_closed_with_an_end_marker_is_truncated(kind: str) -> None:
    photo = JPEGS[kind]
    for end in range(3, len(photo) - 8, 17):
        assert why_unusable(photo[:end] + b"\xff\xd9")[0] == "truncated", end


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_cut_anywhere_in_its_pixels_is_truncated(kind: str) -> None:
    photo = PNGS[kind]
    for end in range(4, len(photo) - 24, 17):
        assert why_unusable(photo[:end])[0] == "truncated", end


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_whose_pixels_have_a_wrong_checksum_is_truncated(kind: str) -> None:
    photo = bytearray(PNGS[kind])
    photo[photo.index(b"IDAT") + 20] ^= 4
    reason = "the PNG ends early or is damaged: the checksum of its pixels is wrong"
    assert why_unusable(bytes(photo)) == ("truncated", reason)


def test_an_unusable_photo_says_why() -> None:
    assert why_unusable(b"") == ("empty", "the photo has 0 bytes")
    assert why_unusable(b"%PDF-1.7") == ("not_an_image", "the 8 bytes are neither JPEG nor PNG")
    assert why_unusable(photo_bytes(smooth_photo(200, 31))) == (
        "too_small",
        "200 × 31 pixels, each side needs 32 or more",
    )
    assert why_unusable(JPEGS["baseline"][:300]) == (
        "truncated",
        "the JPEG ends within its header, or that is damaged",
    )


def test_a_format_that_is_not_read_is_named_and_what_is_no_image_is_not() -> None:
    assert why_unusable(field_photo("webp_named.jpg")) == (
        "unsupported_format",
        "the photo's format is WebP; only JPEG of 8 bits and PNG are read",
    )
    assert why_unusable(photo_bytes(PHOTO, "GIF"))[0] == "unsupported_format"
    assert why_unusable(photo_bytes(PHOTO, "PPM"))[0] == "not_an_image"
    assert why_unusable(b"\xff\xd8 is how a JPEG begins")[0] == "not_an_image"
    for name in ("jpeg_ls.jls", "lossless.jpg", "sampling_fractional.jpg"):
        assert why_unusable(field_photo(name))[0] == "unsupported_format"
    twelve_bits = JPEGS["baseline"].replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")
    assert why_unusable(twelve_bits)[1] == "the photo's format is 12-bit JPEG; only JPEG of 8 bits and PNG are read"
    assert why_unusable(twelve_bits[:-100])[0] == "truncated"


def test_a_photo_with_odd_metadata_is_decoded_and_nothing_is_written_to_the_log(
    recwarn: pytest.WarningsRecorder,
) -> None:
    exif = b"\xff\xe1\x00\x10Exif\x00\x00II*\x00\xff\xff\xff\xff"
    pictures = b"\xff\xe2\x00\x0eMPF\x00II*\x00\x08\x00\x00\x00"
    for segment in (exif, pictures):
        photo = JPEGS["baseline"][:20] + segment + JPEGS["baseline"][20:]
        assert mean_difference(decode_photo(photo, 96), PHOTO) < 3
    text = b"\x00\x00\x00\x03tEXtabc\x00\x00\x00\x00"
    assert mean_difference(decode_photo(PNGS["rgb"][:33] + text + PNGS["rgb"][33:], 96), PHOTO) < 1
    assert not recwarn.list


def test_the_limits_are_those_of_the_caller() -> None:
    assert why_unusable(b"0" * 101, PhotoLimits(max_bytes=100)) == ("too_large", "101 bytes, the limit is 100")
    assert why_unusable(JPEGS["baseline"], PhotoLimits(max_pixels=7679)) == (
        "too_many_pixels",
        "96 × 80 pixels, the limit is 7679 in all",
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
def test_a_png_bomb_is_refused_before_it_unfolds(side: int) -> None:
    header = PNGS["rgb"][12:16] + side.to_bytes(4, "big") * 2 + PNGS["rgb"][24:29]
    bomb = PNGS["rgb"][:12] + header + zlib.crc32(header).to_bytes(4, "big") + PNGS["rgb"][33:]
    assert why_unusable(bomb)[0] == "too_many_pixels"


@given(st.sampled_from([*JPEGS.values(), *PNGS.values(), b""]), st.data())
def test_hostile_bytes_give_pixels_or_a_reason_and_no_other_error(photo: bytes, data: st.DataObject) -> None:
    places = st.tuples(st.integers(0, max(0, len(photo) - 1)), st.integers(0, 255))
    hostile = bytearray(photo)
    for place, value in data.draw(st.lists(places, max_size=4)):
        hostile[place : place + 1] = bytes([value])
    with contextlib.suppress(UnusablePhotoError):
        pixels = decode_photo(bytes(hostile), 64)
        assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)


def test_pixels_of_a_large_photo_become_an_image_without_a_copy_and_others_with_one() -> None:
    pixels = decode_photo(photo_bytes(smooth_photo(640, 480)), 480)
    in_fours = pixels_in_fours(pixels)
    assert in_fours is not None
    assert (pixels_of(image_of(pixels)) == pixels).all()
    in_fours[7, 9] = (1, 2, 3, 255)
    assert image_of(pixels).getpixel((9, 7))[:3] == (1, 2, 3)
    for others in (pixels.copy(), pixels[1:], pixels[:, 5:], in_fours[..., 1:], pixels[::-1]):
        assert pixels_in_fours(others) is None
        assert (pixels_of(image_of(others)) == others).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_large_photo_keeps_its_colours_however_it_lies(orientation: int) -> None:
    photo = smooth_photo(640, 480)
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    stored = photo.transpose(turns[orientation]) if orientation in turns else photo
    content = photo_bytes(stored, exif=exif_orientation(orientation), quality=95)
    assert mean_difference(decode_photo(content, 480), photo) < 2


def test_the_network_sees_the_middle_square() -> None:
    pixels = np.zeros((100, 300, 3), dtype="uint8")
    pixels[:, 100:200] = 255
    square = to_network_input(pixels, 64)
    assert square.shape == (64, 64, 3)
    assert square[:, 2:-2].min() == 255
