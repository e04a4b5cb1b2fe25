"""photo_format: the file format of photo bytes, and a copy of the file with only the parts that decoding needs.

Nothing is decoded here. A file is split into its segments (JPEG) or chunks (PNG). Their lengths are never trusted.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG"}
"""The formats that are read, and the first bytes of their files."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION_CHUNK, PIXEL_CHUNK, END_CHUNK = b"eXIf", b"IDAT", b"IEND"

START_OF_SCAN = 0xDA
APPLICATION_SEGMENTS = range(0xE0, 0xF0)
COMMENT = 0xFE
NEEDED_APPLICATION_SEGMENTS = (0xE0, 0xE1, 0xEE)
"""JFIF and Adobe say how colours are stored, EXIF how the camera was held: without them photos come out wrong."""

RESTART_INTERVAL = 0xDD
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""The next marker that begins a segment or ends the file. It skips what has no length: fill bytes, a 0xFF among junk,
the reserved TEM, restarts and a repeated start."""
FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
SEQUENTIAL_FRAMES = (0xC0, 0xC1)
LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF)
HIERARCHICAL_FRAMES = (0xC5, 0xC6, 0xCD, 0xCE)
JPEG_LS_FRAME = 0xF7
FRAME_HEADER_BYTES = 8
LARGEST_JPEG_SIDE_PIXELS = 65_500
"""Longest side that libjpeg reads."""

END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The next marker after the pixels of a scan. Restarts, stuffed 0xFF bytes and fill bytes still belong to the scan."""
END_OF_JPEG_LS_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""JPEG-LS stuffs a bit where JPEG stuffs a byte: after a 0xFF among its pixels comes a byte under 0x80."""
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
"""A marker between two runs of pixels that are decoded independently; the eight markers take turns."""

MORE_DATA = bytes(range(32))
"""Bytes that do not decode to the grey with which libjpeg fills missing pixels. The first is 0, because any other could
form a marker with a fill byte before it."""
MOST_RESTARTS = 100_000
"""Bounds what `with_more_data` adds to 3 MB. Cameras restart once a row of blocks, so they stay far below."""

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
"""Brands of the ISO base media file format (ISO/IEC 23008-12) for still pictures."""

UNSUPPORTED = {
    "GIF": re.compile(rb"GIF8[79]a"),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\x00|MM\x00[*+]"),
    "BMP": re.compile(rb"BM.{8}.{4}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL),
    "JPEG 2000": re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\x00\x00\x00\x0cJXL |\xff\x0a"),
}
"""Formats of cameras and phones that are not read, and the first bytes of their files."""


@dataclass(frozen=True)
class Segment:
    """One segment of a JPEG; a scan's segment includes its pixels."""

    marker: int
    start: int
    end: int
    """Positions of its first byte, 0xFF, and of the byte after its last."""
    pixels_start: int | None = None
    """Where the pixels of a scan begin."""


@dataclass(frozen=True)
class Frame:
    """The frame header of a JPEG: the picture's size and the sampling of its components."""

    start: int
    width: int
    height: int
    sampling: dict[int, tuple[int, int]]
    """Component id ► its blocks across and down in one MCU, the unit in which components are interleaved."""

    @property
    def mcu_size(self) -> tuple[int, int]:
        """Width and height of an MCU in pixels."""
        across, down = (max(counts) for counts in zip(*self.sampling.values(), strict=True))
        return 8 * across, 8 * down

    @property
    def mcu_counts(self) -> tuple[int, int]:
        """MCUs from side to side, and from top to bottom."""
        return -(-self.width // self.mcu_size[0]), -(-self.height // self.mcu_size[1])


def unsupported_format(photo: bytes) -> str | None:
    """Name an image format that is recognised but not read, such as 'WebP' or '12-bit JPEG'; None for all else."""
    if photo.startswith(SIGNATURES["JPEG"]):
        return _unsupported_jpeg(photo)
    if photo[4:8] == b"ftyp":
        return _iso_format(photo)
    return next((name for name, begins in UNSUPPORTED.items() if begins.match(photo)), None)


def jpeg_segments(photo: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG as libjpeg finds them, including the end marker; bytes between them are skipped."""
    at, end_of_scan = len(JPEG_START), END_OF_SCAN
    while found := MARKER.search(photo, at):
        marker, start = photo[found.start() + 1], found.start()
        end = start + 2 if marker == JPEG_END[1] else _header_end(photo, start)
        if marker == JPEG_LS_FRAME:
            end_of_scan = END_OF_JPEG_LS_SCAN
        if marker == START_OF_SCAN:
            behind = end_of_scan.search(photo, end)
            segment = Segment(marker, start, behind.start() if behind else len(photo), end)
        else:
            segment = Segment(marker, start, end)
        yield segment
        if marker == JPEG_END[1]:
            return
        at = segment.end


def has_frame(photo: bytes) -> bool:
    """Tell whether bytes that begin like a JPEG have a frame header, which gives the picture's size."""
    return jpeg_frame(photo) is not None


def jpeg_frame(photo: bytes) -> Frame | None:
    """Return the frame header of a JPEG, or None if it is missing or makes no sense."""
    segment = _frame_segment(photo)
    header = photo[segment.start + 2 : segment.end] if segment else b""
    # Three bytes for each component: its id, both sampling factors in one byte, and a table number.
    components = [header[at : at + 3] for at in range(FRAME_HEADER_BYTES, len(header) - 2, 3)]
    sampling = {number: (counts >> 4, counts & 15) for number, counts, _ in components}
    is_unclear = len(sampling) < len(components)  # two components of one id
    if (
        segment is None
        or not sampling
        or is_unclear
        or 0 in (count for counts in sampling.values() for count in counts)
    ):
        return None
    height, width = int.from_bytes(header[3:5], "big"), int.from_bytes(header[5:7], "big")
    return Frame(segment.start, width, height, sampling)


def fault_of_scans(photo: bytes) -> str | None:
    """Say why a JPEG is refused although libjpeg decodes it without a warning; None for all others.

    The search ends as soon as every component has a scan, nearly always after the first one.
    """
    at, missing, is_whole = len(JPEG_START), set[int](), True
    while found := MARKER.search(photo, at):
        start, marker = found.start(), photo[found.start() + 1]
        at = _header_end(photo, start)
        if marker in LOSSLESS_FRAMES:
            return "it is lossless"
        if marker in FRAME_HEADERS:
            missing = set(photo[start + 2 + FRAME_HEADER_BYTES : at : 3])
        if marker == START_OF_SCAN:
            # Two bytes for each component, its id first; the last three bytes of the header are about coefficients.
            missing -= set(photo[start + 5 : at - 3 : 2])
            is_whole = not missing
            behind = None if is_whole else END_OF_SCAN.search(photo, at)
            at = behind.start() if behind else len(photo)
        if marker == JPEG_END[1]:
            break
    return None if is_whole else "it has no pixels of one of its components"


def scan_components(photo: bytes, segment: Segment) -> Sequence[int]:
    """Return the ids of the components in a scan; empty for a segment of another kind."""
    count = photo[segment.start + 4] if segment.pixels_start is not None and segment.start + 4 < len(photo) else 0
    return photo[segment.start + 5 : segment.start + 5 + 2 * count : 2]


def restart_interval(photo: bytes) -> int:
    """Return the number of MCUs between two restarts of a JPEG of one scan; 0 if it has no restarts."""
    intervals = (segment.start for segment in jpeg_segments(photo) if segment.marker == RESTART_INTERVAL)
    return next((int.from_bytes(photo[start + 4 : start + 6], "big") for start in intervals), 0)


def has_all_restarts(photo: bytes) -> bool:
    """Tell whether each scan of a JPEG has all restarts that its size requires, in order: no run of pixels is lost."""
    frame, interval = jpeg_frame(photo), 0
    for segment in jpeg_segments(photo) if frame else ():
        if segment.marker == RESTART_INTERVAL:
            interval = int.from_bytes(photo[segment.start + 4 : segment.start + 6], "big")
        if frame and segment.pixels_start is not None and interval:
            wanted = (_mcu_count(frame, scan_components(photo, segment)) - 1) // interval
            found = (restart[0][1] for restart in RESTART.finditer(photo, segment.pixels_start, segment.end))
            if wanted > segment.end - segment.pixels_start or any(
                next(found, None) != 0xD0 + number % 8 for number in range(wanted)
            ):
                return False
    return True


def with_whole_mcus(photo: bytes) -> bytes:
    """Return a JPEG with its size rounded up to whole MCUs, so that blocks beyond the picture's edge become pixels.

    A JPEG that has a scan of one component is returned unchanged: such a scan has no blocks beyond the edge.
    """
    frame = jpeg_frame(photo)
    if not frame or any(len(scan_components(photo, segment)) == 1 for segment in jpeg_segments(photo)):
        return photo
    width, height = (count * side for count, side in zip(frame.mcu_counts, frame.mcu_size, strict=True))
    if max(width, height) > LARGEST_JPEG_SIDE_PIXELS:
        return photo
    # A frame header has marker, length and precision (5 bytes) before the height.
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return photo[: frame.start + 5] + size + photo[frame.start + 9 :]


def scan_count(photo: bytes) -> int:
    """Count the scans of a JPEG, without bytes in its metadata that only look like one."""
    return sum(segment.marker == START_OF_SCAN for segment in jpeg_segments(photo))


def plain_jpeg(photo: bytes) -> bytes:
    """Return a JPEG with only the segments that decoding needs: no junk between, no metadata, nothing after the end."""
    needed = (segment for segment in jpeg_segments(photo) if not _is_metadata(segment.marker))
    return JPEG_START + b"".join(photo[segment.start : segment.end] for segment in needed)


def has_end(photo: bytes) -> bool:
    """Tell whether a JPEG has an end marker among its segments."""
    return any(segment.marker == JPEG_END[1] for segment in jpeg_segments(photo))


def with_more_data(photo: bytes) -> bytes:
    """Return a JPEG with bytes added after each run of pixels. A decoder that has all pixels never reads them.

    Pixels that change were not in the file: it was cut, even if an end marker closes it.
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
            # After the last run comes a restart as well: a decoder that misses whole runs waits for that one.
            parts += [photo[done : segment.pixels_start], longer, MORE_DATA, _next_restart(pixels), MORE_DATA]
            done = segment.end
    return b"".join([*parts, photo[done:]])


def pixel_runs(photo: bytes) -> list[tuple[int, int]]:
    """Return the begin and end of each run of pixels of a sequential JPEG with one scan; empty for any other JPEG.

    Zeros and fill bytes at the end of a run count as padding and are left out.
    """
    segments = list(jpeg_segments(photo))
    scans = [segment for segment in segments if segment.pixels_start is not None]
    if len(scans) != 1 or not any(segment.marker in SEQUENTIAL_FRAMES for segment in segments):
        return []
    start, end = scans[0].pixels_start or 0, scans[0].end
    edges = [start, *(edge for found in RESTART.finditer(photo, start, end) for edge in found.span()), end]
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [(begin, begin + len(photo[begin:stop].rstrip(b"\x00\xff"))) for begin, stop in runs]


def without_ends(photo: bytes, runs: Sequence[tuple[int, int]], byte_count: int) -> bytes:
    """Return a JPEG without the last bytes of the given runs of pixels, each longer than `byte_count`."""
    parts, done = [], 0
    for _, end in runs:
        parts.append(photo[done : end - byte_count])
        done = end
    return b"".join([*parts, photo[done:]])


def plain_png(photo: bytes) -> bytes:
    """Return a PNG without its ancillary chunks (texts, profiles, animation), except EXIF data with a right checksum.

    If the length of a chunk does not fit, the rest is kept as it is, and decoding reports the fault.
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


def has_damaged_pixels(photo: bytes) -> bool:
    """Tell whether a PNG's pixels have a wrong checksum. Pillow does not check it."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(photo):
        end = at + 12 + int.from_bytes(photo[at : at + 4], "big")
        if photo[at + 4 : at + 8] == PIXEL_CHUNK and end <= len(photo) and not _has_its_checksum(photo, at, end):
            return True
        at = end
    return False


def _unsupported_jpeg(photo: bytes) -> str | None:
    segment = _frame_segment(photo)
    header = photo[segment.start + 2 : segment.end] if segment else b""
    if segment and segment.marker == JPEG_LS_FRAME:
        return "JPEG-LS"
    return _unsupported_frame(photo, segment.marker, header) if segment and len(header) >= FRAME_HEADER_BYTES else None


def _header_end(photo: bytes, start: int) -> int:
    """Return the end of the segment that starts here, without the pixels of a scan."""
    return start + 2 + int.from_bytes(photo[start + 2 : start + 4], "big")


def _frame_segment(photo: bytes) -> Segment | None:
    frames = (*FRAME_HEADERS, JPEG_LS_FRAME)
    return next((segment for segment in jpeg_segments(photo) if segment.marker in frames), None)


def _unsupported_frame(photo: bytes, marker: int, header: bytes) -> str | None:
    """Name a kind of JPEG that libjpeg cannot decode.

    `header` holds length, precision, height, width, components and their sampling.
    """
    precision, component_count = header[2], header[7]
    if marker in LOSSLESS_FRAMES:
        return "lossless JPEG"
    if marker in HIERARCHICAL_FRAMES:
        return "hierarchical JPEG"
    if precision != 8:
        return f"{precision}-bit JPEG" if 2 <= precision <= 16 else None
    if component_count in (2, *range(5, 11)):
        return f"JPEG of {component_count} components"
    frame = jpeg_frame(photo)
    return "JPEG of fractional sampling" if frame and _has_fractional_sampling(frame) else None


def _has_fractional_sampling(frame: Frame) -> bool:
    """Tell whether one component has, say, two blocks where another has three."""
    across, down = (side // 8 for side in frame.mcu_size)
    # Factors over 4 are against the standard: that is damage, not a kind of JPEG.
    return max(across, down) <= 4 and any(across % columns or down % rows for columns, rows in frame.sampling.values())


def _mcu_count(frame: Frame, components: Sequence[int]) -> int:
    """Count the MCUs of a scan. In a scan of a single component, each block within the picture is an MCU."""
    across, down = frame.mcu_counts
    if len(components) != 1 or components[0] not in frame.sampling:
        return across * down
    columns, rows = frame.sampling[components[0]]
    return -(-frame.width * columns // frame.mcu_size[0]) * -(-frame.height * rows // frame.mcu_size[1])


def _iso_format(photo: bytes) -> str | None:
    # The file states the length of its list of brands, so it is bounded.
    length = min(int.from_bytes(photo[:4], "big"), 256)
    brands = [photo[8:12], *(photo[at : at + 4] for at in range(16, length, 4))]
    names = [ISO_BRANDS[brand] for brand in brands if brand in ISO_BRANDS]
    # HEIF is the container of HEIC and AVIF as well: a more precise name wins.
    return next((name for name in names if name != "HEIF"), next(iter(names), None))


def _next_restart(pixels: bytes) -> bytes:
    """Return the restart that a decoder expects after these pixels if runs are missing at the end."""
    last = max(pixels.rfind(bytes([0xFF, marker])) for marker in range(0xD0, 0xD8))
    return bytes([0xFF, 0xD0 + (pixels[last + 1] - 0xD0 + 1) % 8 if last >= 0 else 0xD0])


def _is_metadata(marker: int) -> bool:
    return marker == COMMENT or (marker in APPLICATION_SEGMENTS and marker not in NEEDED_APPLICATION_SEGMENTS)


def _has_its_checksum(photo: bytes, start: int, end: int) -> bool:
    return zlib.crc32(photo[start + 4 : end - 4]) == int.from_bytes(photo[end - 4 : end], "big")
