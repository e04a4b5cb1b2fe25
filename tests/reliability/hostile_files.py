"""hostile_files: make photos that no camera takes, each with its acceptable statuses. They are the same each time."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from models.serving.photo_statuses import SEARCHED_STATUSES

DAMAGED = frozenset({"truncated"})
SEEN = frozenset({"estimated"})
NO_IMAGE = frozenset({"not_an_image"})
BOMB = frozenset({"too_many_pixels"})
UNSUPPORTED = frozenset({"unsupported_format"})
SEARCHED = frozenset(map(str, SEARCHED_STATUSES))
ANY_STATUS = SEARCHED | DAMAGED | NO_IMAGE | UNSUPPORTED | BOMB | {"empty", "too_small", "too_large"}

HostileFile = tuple[str, bytes, frozenset[str]]
"""Name, content, and acceptable statuses."""

START, END = b"\xff\xd8", b"\xff\xd9"
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation ► the turn of the pixels in the file that it corrects."""


def face() -> Image.Image:
    (photo,) = synthetic_face_photos()([40], [3], 1)
    return Image.open(io.BytesIO(photo.content)).convert("RGB")


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def corpus() -> Iterator[HostileFile]:
    """Yield all files that are made by hand."""
    image = face()
    yield from _cut_files(image)
    yield from _flipped_files(image)
    yield from _bombs(image)
    yield from _odd_kinds(image)
    yield from _other_formats(image)
    yield from _metadata(image)
    yield from _odd_shapes()


def mutated(count: int, seed: int = 6) -> Iterator[HostileFile]:
    """Yield photos of all kinds with bytes changed, cut, doubled or moved. Every status is acceptable, but no crash."""
    bases = list(base_photos().values())
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        content = bytearray(rng.choice(bases))
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            rng.choice(MUTATIONS)(content, rng)
        yield f"mutated-{number:05d}", bytes(content), ANY_STATUS


def base_photos() -> dict[str, bytes]:
    image = face()
    scene = Image.new("RGB", (640, 480), (90, 110, 100))
    scene.paste(image, (200, 120))
    return {
        "jpeg": encoded(image),
        "progressive": encoded(image, progressive=True),
        "grey": encoded(image.convert("L")),
        "cmyk": encoded(image.convert("CMYK")),
        "turned": encoded(image, exif=_exif(6)),
        "restarts": encoded(image, restart_marker_rows=2),
        "scene": encoded(scene),
        "png": encoded(image, "PNG"),
        "palette": encoded(image.quantize(64), "PNG"),
        "16 bit": encoded(_sixteen_bits(image), "PNG"),
    }


def _change(content: bytearray, rng: random.Random) -> None:
    if content:
        content[rng.randrange(len(content))] = rng.randrange(256)


def _change_header(content: bytearray, rng: random.Random) -> None:
    if content:
        content[rng.randrange(min(700, len(content)))] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))


def _cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _take_out(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    del content[at : at + rng.randrange(64)]


def _double(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = content[at : at + rng.randrange(4096)]


def _insert_marker(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = bytes([0xFF, rng.randrange(0xC0, 0x100)]) + rng.randbytes(rng.randrange(6))


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_change, _change, _change_header, _change_header, _cut, _take_out, _double, _insert_marker),
)


def _cut_files(image: Image.Image) -> Iterator[HostileFile]:
    """Yield photos cut at each marker. A progressive photo without its last scans is complete, only coarser."""
    for kind, content in (("baseline", encoded(image)), ("progressive", encoded(image, progressive=True))):
        for at in _marker_places(content):
            for end in (at, at + 1, at + 2, at + 3):
                fits = {0: frozenset({"empty"}), 1: NO_IMAGE, 2: NO_IMAGE}.get(end, DAMAGED)
                yield f"{kind} cut at {end}", content[:end], fits if end < len(content) else SEEN
                is_surely_damaged = kind == "baseline" and 2 < end < len(content) - 2
                yield (
                    f"{kind} cut at {end} and ended",
                    content[:end] + END,
                    DAMAGED if is_surely_damaged else ANY_STATUS,
                )
    png = encoded(image, "PNG")
    for end in (4, 8, 20, 33, 40, len(png) // 2, len(png) - 100):
        yield f"png cut at {end}", png[:end], DAMAGED


def _marker_places(content: bytes) -> list[int]:
    return [at for at in range(len(content) - 1) if content[at] == 0xFF and content[at + 1] >= 0xC0]


def _flipped_files(image: Image.Image) -> Iterator[HostileFile]:
    rng = random.Random(1)
    for kind, content in (("jpeg", encoded(image)), ("png", encoded(image, "PNG"))):
        for number in range(60):
            flipped = bytearray(content)
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            yield f"{kind} with bit {number} flipped", bytes(flipped), ANY_STATUS


def _bombs(image: Image.Image) -> Iterator[HostileFile]:
    for side in (7_100, 20_000, 65_500):
        yield f"jpeg of {side} by word", _resized_jpeg(encoded(image), side, side), BOMB
    for side in (7_100, 60_000, 2**31 - 1):
        fits = BOMB if side < 2**31 - 1 else BOMB | DAMAGED
        yield f"png of {side} by word", _png(side, side, 8, 2, zlib.compress(bytes(1000))), fits
    yield "png that unfolds to 10,000 × 10,000", encoded(Image.new("1", (10_000, 10_000)), "PNG"), BOMB
    yield "jpeg that unfolds to 8,000 × 8,000", encoded(Image.new("L", (8_000, 8_000))), BOMB
    yield "jpeg of as many pixels as may be by word", _resized_jpeg(encoded(image), 7_000, 7_000), DAMAGED
    yield "png with too little of so many pixels", _png(7_000, 7_000, 8, 6, zlib.compress(bytes(1000))), DAMAGED
    yield "grey jpeg of as many pixels as may be", encoded(Image.new("L", (7_000, 7_000))), frozenset({"no_face"})
    yield "png of as many pixels as may be", encoded(Image.new("RGBA", (7_000, 7_000)), "PNG"), frozenset({"no_face"})
    deep = _png(7_000, 7_000, 16, 0, zlib.compress(bytes(7_000 * 14_001), 1))
    yield "16 bit png of as many pixels as may be", deep, frozenset({"no_face"})
    yield "jpeg of many scans", jpeg_of_many_scans(7_000, 882), DAMAGED
    yield "jpeg of some scans", jpeg_of_many_scans(7_000, 64), frozenset({"no_face"})
    text = b"k\0\0" + zlib.compress(bytes(100_000_000), 9)
    yield "png with a text that unfolds", _png(64, 64, 8, 2, _rows(64, 64), [(b"zTXt", text)]), DAMAGED | SEARCHED
    profile = b"k\0\0" + zlib.compress(bytes(100_000_000), 9)
    yield "png with a profile that unfolds", _png(64, 64, 8, 2, _rows(64, 64), [(b"iCCP", profile)]), DAMAGED | SEARCHED


def _odd_kinds(image: Image.Image) -> Iterator[HostileFile]:
    yield "grey", encoded(image.convert("L")), SEEN
    yield "cmyk", encoded(image.convert("CMYK")), SEEN
    yield "progressive", encoded(image, progressive=True), SEEN
    yield "without subsampling", encoded(image, subsampling=0), SEEN
    yield "png", encoded(image, "PNG"), SEEN
    yield "palette", encoded(image.quantize(256), "PNG"), SEEN
    yield "palette with transparency", encoded(image.quantize(64), "PNG", transparency=3), SEARCHED
    yield "grey with alpha", encoded(image.convert("LA"), "PNG"), SEEN
    yield "rgb with alpha", encoded(image.convert("RGBA"), "PNG"), SEEN
    yield "16 bit grey", encoded(_sixteen_bits(image), "PNG"), SEEN
    yield "16 bit rgb", _sixteen_bit_rgb(image), SEEN
    yield "one bit", encoded(image.convert("1"), "PNG"), SEARCHED
    yield "animated png", encoded(image, "PNG", save_all=True, append_images=[image, image]), SEEN
    yield "several pictures in one jpeg", encoded(image, "MPO", save_all=True, append_images=[image]), SEEN
    for orientation, turn in TURNED.items():
        yield f"orientation {orientation}", encoded(image.transpose(turn), quality=95, exif=_exif(orientation)), SEEN
        yield f"png of orientation {orientation}", encoded(image.transpose(turn), "PNG", exif=_exif(orientation)), SEEN
    for orientation in (0, 1, 9, 65_535):
        yield f"orientation {orientation}", encoded(image, quality=95, exif=_exif(orientation)), SEEN


def _other_formats(image: Image.Image) -> Iterator[HostileFile]:
    for kind in ("GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"):
        yield f"{kind} by the name of .jpg", encoded(image, kind), UNSUPPORTED
    for kind in ("ICO", "PPM", "PDF"):
        yield f"{kind} by the name of .jpg", encoded(image, kind), NO_IMAGE
    yield "animated gif", encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]), UNSUPPORTED
    yield "animated webp", encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)]), UNSUPPORTED
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(2000), UNSUPPORTED
    yield "jpeg xl", b"\xff\x0a" + bytes(2000), UNSUPPORTED
    twelve_bits = encoded(image).replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    yield "jpeg of 12 bits by word", twelve_bits, UNSUPPORTED
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', NO_IMAGE
    yield "html", b"<!doctype html><script>alert(1)</script>", NO_IMAGE
    yield "zip", _zip(), NO_IMAGE
    yield "text", b"camera offline, no frame\n", NO_IMAGE
    yield "zeros", bytes(100_000), NO_IMAGE
    yield "empty", b"", frozenset({"empty"})
    yield "200 MB", START + bytes(200_000_000), frozenset({"too_large"})
    yield "jpeg with a zip behind it", encoded(image) + _zip(), SEEN | DAMAGED
    yield "html that begins as jpeg", b"\xff\xd8\xff\xe0<html>", DAMAGED


def _metadata(image: Image.Image) -> Iterator[HostileFile]:
    plain = encoded(image)
    segment = b"\xff\xe1\xff\xff" + bytes(65_533)
    yield "300 segments of metadata", plain[:2] + 300 * segment + plain[2:], SEEN
    yield "300 comments", plain[:2] + 300 * (b"\xff\xfe\xff\xff" + bytes(65_533)) + plain[2:], SEEN
    yield "20,000 short comments", plain[:2] + 20_000 * b"\xff\xfe\x00\x04ab" + plain[2:], SEEN
    yield "metadata full of scans", plain[:2] + 99 * (b"\xff\xfe\x00\x06\xff\xda\xff\xda") + plain[2:], SEEN
    yield "exif that points to itself", _with_exif(plain, _looping_exif()), SEEN | DAMAGED
    yield "exif of nonsense", _with_exif(plain, b"II*\0" + bytes(range(256)) * 40), SEEN | DAMAGED
    yield "exif with an orientation of another type", _with_exif(plain, _exif_with_text_orientation()), SEEN | DAMAGED
    yield "large profile", encoded(image, icc_profile=random.Random(2).randbytes(4_000_000)), SEEN
    texts = [(b"tEXt", b"key\0" + bytes([number % 256]) * 500) for number in range(2_000)]
    yield "png with 2,000 texts", _png(64, 64, 8, 2, _rows(64, 64), texts), DAMAGED | SEARCHED


def _odd_shapes() -> Iterator[HostileFile]:
    for size in ((65_535, 1), (1, 65_500), (65_500, 31)):
        yield (
            f"jpeg of {size}",
            encoded(Image.new("RGB", size[:2])) if max(size) <= 65_500 else _wide_jpeg(),
            (frozenset({"too_small"})),
        )
        yield f"png of {size}", encoded(Image.new("RGB", size), "PNG"), frozenset({"too_small"})
    for size in ((65_500, 32), (32, 65_500), (65_500, 700), (1_500_000, 32), (32, 1_500_000)):
        kind = "JPEG" if max(size) <= 65_500 else "PNG"
        yield f"{kind} of {size}", encoded(Image.effect_noise((512, 32), 60).resize(size), kind), SEARCHED
    noise = Image.effect_noise((4_000, 3_000), 90).convert("RGB")
    yield "noise", encoded(noise, quality=95), SEARCHED
    checks = np.indices((2_000, 2_000)).sum(axis=0) // 8 % 2 * 255
    yield "checks", encoded(Image.fromarray(checks.astype("uint8")).convert("RGB"), "PNG"), SEARCHED


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """Return a sound progressive grey JPEG of side × side whose up to 882 scans refine nothing, one by one."""
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\x00"
    quantisation = b"\xff\xdb\x00\x43\x00" + bytes([1]) * 64
    one_code = b"\x01" + bytes(15)
    codes = b"\xff\xc4\x00\x14\x00" + one_code + b"\x00" + b"\xff\xc4\x00\x14\x10" + one_code + b"\xe0"
    blocks = (-(-side // 8)) ** 2
    dc_scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00" + bytes(blocks // 8 + 1)
    end_of_bands = bytes(-(-15 * (blocks // 16_384 + 1) // 8))
    steps = [(k, 0, 13) for k in range(1, 64)] + [(k, low + 1, low) for low in range(12, -1, -1) for k in range(1, 64)]
    ac_scans = (
        b"\xff\xda\x00\x08\x01\x01\x00" + bytes([k, k, high << 4 | low]) + end_of_bands
        for k, high, low in steps[: scans - 1]
    )
    return START + quantisation + frame + codes + dc_scan + b"".join(ac_scans) + END


def _resized_jpeg(content: bytes, width: int, height: int) -> bytes:
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def _wide_jpeg() -> bytes:
    return _resized_jpeg(encoded(Image.new("RGB", (64, 1))), 65_535, 1)


def _png(
    width: int, height: int, bits: int, colours: int, pixels: bytes, more: list[tuple[bytes, bytes]] | None = None
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    chunks = [(b"IHDR", header), *(more or []), (b"IDAT", pixels), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _rows(width: int, height: int) -> bytes:
    return zlib.compress(height * (b"\0" + bytes(3 * width)))


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype("uint16") * 257)


def _sixteen_bit_rgb(image: Image.Image) -> bytes:
    pixels = np.asarray(image).astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return _png(image.width, image.height, 16, 2, zlib.compress(rows))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _with_exif(content: bytes, tiff: bytes) -> bytes:
    body = b"Exif\0\0" + tiff
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def _looping_exif() -> bytes:
    """Return EXIF data with a directory that is its own sub-directory and its own next directory."""
    entries = struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0x8825, 4, 1, 8)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + entries + struct.pack("<I", 8)


def _exif_with_text_orientation() -> bytes:
    entry = struct.pack("<HHI", 0x0112, 2, 4) + b"six\0"
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 0)


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/passwd", bytes(10_000))
    return content.getvalue()
