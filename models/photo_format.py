"""photo_format: what kind of file photo bytes are, and a copy that holds only what decoding needs.

Nothing is decoded here. A file is taken apart by its segments (JPEG) or chunks (PNG), whose lengths are never trusted.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG"}
"""Formats that are read, and how their files begin."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION_CHUNK, END_CHUNK = b"eXIf", b"IEND"

START_OF_SCAN = 0xDA
APPLICATION_SEGMENTS = range(0xE0, 0xF0)
COMMENT = 0xFE
NEEDED_APPLICATION_SEGMENTS = (0xE0, 0xE1, 0xEE)
"""JFIF and Adobe say how colours are stored, EXIF how the camera was held."""

STANDING_ALONE = (0x00, 0x01, *range(0xD0, 0xD9))
"""Markers without a length: a 0xFF among junk, the reserved TEM, restarts and a repeated start."""
FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
SEQUENTIAL_FRAMES = (0xC0, 0xC1)
LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF)
HIERARCHICAL_FRAMES = (0xC5, 0xC6, 0xCD, 0xCE)
JPEG_LS_FRAME = 0xF7
FRAME_HEADER_BYTES = 8

END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The next marker after the pixels of a scan: restarts, stuffed 0xFF bytes and fill bytes belong to the scan."""
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
"""A marker between runs of pixels that are decoded each by itself; the eight take turns."""

MORE_DATA = bytes(range(32))
"""Bytes that decode to something else than the grey with which libjpeg fills missing pixels. The first one is 0, lest a
fill byte before it becomes a marker."""
MOST_RESTARTS = 100_000
"""A bound on what `with_more_data` adds: 3 MB. Cameras restart once a row of blocks."""

ISO_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
}
"""Brands of the ISO base media file format (ISO/IEC 23008-12) that hold still pictures."""

UNSUPPORTED = {
    "GIF": re.compile(rb"GIF8[79]a"),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\x00|MM\x00[*+]"),
    "BMP": re.compile(rb"BM.{8}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL),
    "JPEG 2000": re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\x00\x00\x00\x0cJXL |\xff\x0a"),
}
"""Formats of cameras and phones that are not read, and how their files begin."""


@dataclass(frozen=True)
class Segment:
    """One segment of a JPEG; that of a scan goes on to the end of its pixels."""

    marker: int
    start: int
    end: int
    """Positions of its first byte, 0xFF, and behind its last."""
    pixels_start: int | None = None
    """Where the pixels of a scan begin."""


def unsupported_format(photo: bytes) -> str | None:
    """Name the format of an image that is known and not read, such as 'WebP' or '12-bit JPEG'; None for all else."""
    if photo.startswith(SIGNATURES["JPEG"]):
        return _unsupported_jpeg(photo)
    if photo[4:8] == b"ftyp":
        return _iso_format(photo)
    return next((name for name, begins in UNSUPPORTED.items() if begins.match(photo)), None)


def jpeg_segments(photo: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG as libjpeg finds them, the end among them; what lies between them is skipped."""
    at = len(JPEG_START)
    while 0 <= (at := photo.find(b"\xff", at)) < len(photo) - 1:
        marker = photo[at + 1]
        if marker == 0xFF or marker in STANDING_ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == JPEG_END[1]:
            yield Segment(marker, at, at + 2)
            return
        pixels_start = at + 2 + int.from_bytes(photo[at + 2 : at + 4], "big")
        segment = _scan(photo, at, pixels_start) if marker == START_OF_SCAN else Segment(marker, at, pixels_start)
        yield segment
        at = segment.end


def scan_count(photo: bytes) -> int:
    """Count the scans of a JPEG; metadata may hold bytes that look like one."""
    return sum(segment.marker == START_OF_SCAN for segment in jpeg_segments(photo))


def plain_jpeg(photo: bytes) -> bytes:
    """Return a JPEG with its pictures' segments alone: no junk between them, no metadata, nothing behind its end."""
    needed = (segment for segment in jpeg_segments(photo) if not _is_metadata(segment.marker))
    return JPEG_START + b"".join(photo[segment.start : segment.end] for segment in needed)


def has_end(photo: bytes) -> bool:
    """Tell whether a JPEG has an end marker among its segments."""
    return any(segment.marker == JPEG_END[1] for segment in jpeg_segments(photo))


def with_more_data(photo: bytes) -> bytes:
    """Return a JPEG with bytes behind each run of pixels: a decoder that has all pixels never looks at them.

    Pixels that come out otherwise were not in the file: it was cut, whatever closes it.
    Raises ValueError for more runs than any camera writes.
    """
    parts, done, restart_count = [], 0, 0
    for segment in jpeg_segments(photo):
        if segment.pixels_start is not None:
            pixels = photo[segment.pixels_start : segment.end]
            longer, count = RESTART.subn(lambda found: MORE_DATA + found[0], pixels, MOST_RESTARTS + 1)
            restart_count += count
            if restart_count > MOST_RESTARTS:
                raise ValueError(f"it has more than {MOST_RESTARTS} restarts")
            parts += [photo[done : segment.pixels_start], longer, MORE_DATA, _next_restart(pixels), MORE_DATA]
            done = segment.end
    return b"".join([*parts, photo[done:]])


def pixel_runs(photo: bytes) -> list[tuple[int, int]]:
    """Return the begin and end of each run of pixels of a sequential JPEG of one scan; none of any other kind."""
    segments = list(jpeg_segments(photo))
    scans = [segment for segment in segments if segment.pixels_start is not None]
    if len(scans) != 1 or not any(segment.marker in SEQUENTIAL_FRAMES for segment in segments):
        return []
    start, end = scans[0].pixels_start or 0, scans[0].end
    edges = [start, *(edge for found in RESTART.finditer(photo, start, end) for edge in found.span()), end]
    return list(zip(edges[::2], edges[1::2], strict=True))


def plain_png(photo: bytes) -> bytes:
    """Return a PNG without its ancillary chunks (texts, profiles, animation), but for a sound EXIF orientation.

    From the first chunk on whose length does not fit, the rest is kept as it is: decoding says what is wrong with it.
    """
    parts, at = [photo[: len(PNG_SIGNATURE)]], len(PNG_SIGNATURE)
    while at + 12 <= len(photo):
        kind, end = photo[at + 4 : at + 8], at + 12 + int.from_bytes(photo[at : at + 4], "big")
        if end > len(photo):
            break
        is_critical = not kind[0] & 0x20  # the case of a chunk's first letter says so
        if is_critical or (kind == ORIENTATION_CHUNK and _has_its_checksum(photo, at, end)):
            parts.append(photo[at:end])
        if kind == END_CHUNK:
            return b"".join(parts)
        at = end
    return b"".join([*parts, photo[at:]])


def _unsupported_jpeg(photo: bytes) -> str | None:
    for segment in jpeg_segments(photo):
        marker, header = segment.marker, photo[segment.start + 2 : segment.end]
        if marker == JPEG_LS_FRAME:
            return "JPEG-LS"
        if marker in FRAME_HEADERS:
            return _unsupported_frame(marker, header) if len(header) >= FRAME_HEADER_BYTES else None
    return None


def _unsupported_frame(marker: int, header: bytes) -> str | None:
    """Name what libjpeg cannot decode: `header` is length, precision, height, width, components and their sampling."""
    precision, component_count = header[2], header[7]
    if marker in LOSSLESS_FRAMES:
        return "lossless JPEG"
    if marker in HIERARCHICAL_FRAMES:
        return "hierarchical JPEG"
    if precision != 8:
        return f"{precision}-bit JPEG" if 2 <= precision <= 16 else None
    return f"JPEG of {component_count} components" if component_count in (2, *range(5, 11)) else None


def _iso_format(photo: bytes) -> str | None:
    length = min(int.from_bytes(photo[:4], "big"), 256)
    brands = [photo[8:12], *(photo[at : at + 4] for at in range(16, length, 4))]
    names = [ISO_BRANDS[brand] for brand in brands if brand in ISO_BRANDS]
    return next((name for name in names if name != "HEIF"), next(iter(names), None))


def _scan(photo: bytes, start: int, pixels_start: int) -> Segment:
    found = END_OF_SCAN.search(photo, pixels_start)
    return Segment(START_OF_SCAN, start, found.start() if found else len(photo), pixels_start)


def _next_restart(pixels: bytes) -> bytes:
    """Return the restart that a decoder waits for behind these pixels if runs of them are missing at the end."""
    last = max(pixels.rfind(bytes([0xFF, marker])) for marker in range(0xD0, 0xD8))
    return bytes([0xFF, 0xD0 + (pixels[last + 1] - 0xD0 + 1) % 8 if last >= 0 else 0xD0])


def _is_metadata(marker: int) -> bool:
    return marker == COMMENT or (marker in APPLICATION_SEGMENTS and marker not in NEEDED_APPLICATION_SEGMENTS)


def _has_its_checksum(photo: bytes, start: int, end: int) -> bool:
    return zlib.crc32(photo[start + 4 : end - 4]) == int.from_bytes(photo[end - 4 : end], "big")
