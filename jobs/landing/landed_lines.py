"""landed_lines: unzips a delivered file and cuts it into pages of whole lines, without a byte order mark.

A line ends with a line feed. A file that breaks off yields all lines before the break; then UnreadableFileError is
raised.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PAGE_BYTES = 1024 * 1024
MOST_LINES_OF_A_PAGE = 20_000
"""A page of receipt lines has fewer. Each rejected line is an object, so a page with more lines takes more memory."""
LONGEST_LINE_BYTES = PAGE_BYTES
"""No receipt line is longer. It must be at least PAGE_BYTES, or `_cut_into_pages` would let longer lines pass."""
MOST_UNFOLDED_PER_BYTE = 100
LEAST_UNFOLDED_BYTES = 64 * 1024 * 1024
"""A file may unzip to MOST_UNFOLDED_PER_BYTE times its size, or to this if that is more; receipts reach about 10."""
GZIP = b"\x1f\x8b"
CUT_OFF = "is cut off: the end of its gzip is missing; deliver the whole file again"
SIGNATURES = {
    GZIP: "gzip",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a ZIP archive, as .xlsx files are",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ": "compressed with xz",
    b"BZh": "compressed with bzip2",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""First bytes of files that are not lines in UTF-8. The mark of UTF-16 is also the beginning of that of UTF-32, so
UTF-32 comes first.
"""
MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[!?A-Za-z]")
"""The beginning of HTML or XML, such as an error page of a server."""
LONGEST_SIGNATURE = max(map(len, SIGNATURES))
WAYS_OUT = {
    "gzip": "name it .csv.gz or .jsonl.gz",
    "Parquet": "name it .parquet",
    "UTF-16": "deliver it in UTF-8, as `iconv -f UTF-16 -t UTF-8` writes it",
    "UTF-32": "deliver it in UTF-8, as `iconv -f UTF-32 -t UTF-8` writes it",
}
ZEROS_OF_UTF16 = 0.4
"""Share of zero bytes that shows UTF-16: a header in it without its mark has a zero in every other byte, and no text
has so many.
"""


class UnreadableFileError(Exception):
    """A file, or the rest of it, cannot be read. The message continues a sentence that begins with the file's name.

    The message holds nothing of a record, because a record may name a cashier. `text` holds the faulty text, and is
    kept only in the place where records are kept.
    """

    def __init__(self, words: str, text: bytes = b"", *, ends_with_a_line: bool = False) -> None:
        super().__init__(words)
        self.text = text
        self.ends_with_a_line = ends_with_a_line


@dataclass(frozen=True)
class Page:
    """A page: some whole lines of a file, each with its line feed, and the number of the first of them in the file."""

    content: bytes
    first_line: int
    line_count: int

    def parts(self) -> Iterator[Page]:
        """Split the page into parts of at most MOST_LINES_OF_A_PAGE lines."""
        if self.line_count <= MOST_LINES_OF_A_PAGE:
            yield self
            return
        ends = np.flatnonzero(np.frombuffer(self.content, np.uint8) == ord("\n")) + 1
        for first in range(0, self.line_count, MOST_LINES_OF_A_PAGE):
            part = ends[first : first + MOST_LINES_OF_A_PAGE]
            begin = ends[first - 1] if first else 0
            yield Page(self.content[begin : part[-1]], self.first_line + first, len(part))

    def after(self, end: int) -> Page:
        """Return the rest of the page, from the byte offset `end` on."""
        skipped = self.content.count(b"\n", 0, end)
        return Page(self.content[end:], self.first_line + skipped, self.line_count - skipped)


def most_unfolded_bytes(stream: io.BufferedReader) -> int:
    """Return how many bytes a file may unzip to, which depends on its size; the stream is rewound."""
    size_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return max(LEAST_UNFOLDED_BYTES, MOST_UNFOLDED_PER_BYTE * size_bytes)


def pages(stream: io.BufferedReader, zipped: bool) -> Iterator[Page]:
    """Yield all lines of a file, also blank ones, in pages of about PAGE_BYTES.

    A line longer than LONGEST_LINE_BYTES is cut to so many bytes and one more. Raises UnreadableFileError where the
    file is not text in UTF-8 or breaks off, after the lines before the break.
    """
    chunks = _unzipped(stream) if zipped else iter(lambda: stream.read1(PAGE_BYTES), b"")
    yield from _cut_into_pages(_of_utf8(chunks, zipped))


def what_it_is(start: bytes) -> str | None:
    """Name the kind of file that begins with the given bytes, or return None if they may be lines in UTF-8."""
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature):
            return kind
    if MARKUP.match(start):
        return "HTML or XML"
    head = start[:200]
    if head and not head.strip(b"\0"):
        return "zeros only"
    # Zeros in every other byte: at even places in big-endian UTF-16, at odd places in little-endian.
    zeros = max(head[0::2].count(0), head[1::2].count(0))
    return "UTF-16" if zeros > ZEROS_OF_UTF16 * len(head) else None


def way_out(kind: str) -> str:
    """Say how to deliver a file of a kind that differs from the ending of its name."""
    return WAYS_OUT.get(kind, "deliver it as CSV, JSON lines or Parquet")


def _unzipped(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield what gzip unzips, from all members; zeros after the end are no data."""
    most_bytes = most_unfolded_bytes(stream)
    start = stream.peek(4)
    if not start:
        raise UnreadableFileError("is empty; deliver the whole file again")
    if start == GZIP[:1]:
        raise UnreadableFileError(CUT_OFF)
    if not start.startswith(GZIP):
        kind = what_it_is(start) or "text"
        raise UnreadableFileError(
            f"is {kind} and not gzip, although its name ends in .gz; give it the ending of its format"
        )
    unfolded_bytes = 0
    for chunk in _joined(_members(stream)):
        unfolded_bytes += len(chunk)
        # Counted while unzipping: a gzip bomb is stopped before it fills the memory.
        if unfolded_bytes > most_bytes:
            raise UnreadableFileError(f"unzips to more than {most_bytes} bytes; deliver it in parts")
        yield chunk


def _members(stream: io.BufferedReader) -> Iterator[bytes]:
    try:
        unzipped = gzip.GzipFile(fileobj=stream)
        while chunk := unzipped.read1(PAGE_BYTES):
            yield chunk
    except EOFError:
        raise UnreadableFileError(CUT_OFF) from None
    except gzip.BadGzipFile as error:
        words = "has bytes after its end that are not gzip" if "Not a gzipped" in str(error) else f"is damaged: {error}"
        raise UnreadableFileError(f"{words}; deliver it again", ends_with_a_line=True) from None
    except zlib.error as error:
        raise UnreadableFileError(f"is damaged: {error}; deliver it again") from None


def _joined(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks of up to PAGE_BYTES; before an error, the bytes that came before it."""
    joined = bytearray()
    try:
        for chunk in chunks:
            if joined and len(joined) + len(chunk) > PAGE_BYTES:
                yield bytes(joined)
                joined.clear()
            joined += chunk
    except UnreadableFileError:
        yield bytes(joined)
        raise
    yield bytes(joined)


def _of_utf8(chunks: Iterator[bytes], zipped: bool) -> Iterator[bytes]:
    """Yield chunks without the byte order mark. Raises UnreadableFileError where they begin as something else."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= LONGEST_SIGNATURE:
            break
    kind = what_it_is(start)
    if zipped and kind == "gzip":
        raise UnreadableFileError("is gzipped twice; deliver it gzipped once")
    if kind:
        raise UnreadableFileError(f"is {kind}; {way_out(kind)}")
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from chunks


def _cut_into_pages(chunks: Iterator[bytes]) -> Iterator[Page]:
    rest, line = b"", 1
    try:
        for chunk in chunks:
            first_end, last_end = chunk.find(b"\n"), chunk.rfind(b"\n") + 1
            if not last_end:
                # One byte over the limit is enough for the reader of lines to see that the line is too long.
                rest = (rest + chunk)[: LONGEST_LINE_BYTES + 1]
                continue
            first = (rest + chunk[:first_end])[: LONGEST_LINE_BYTES + 1]
            content = b"".join((first, memoryview(chunk)[first_end:last_end]))
            page = Page(content, line, chunk.count(b"\n"))
            yield from page.parts()
            line += page.line_count
            rest = chunk[last_end:]
    except UnreadableFileError as error:
        # What precedes foreign bytes after the end is a whole line; after a damage it may be half of one.
        if rest and error.ends_with_a_line:
            yield Page(rest + b"\n", line, 1)
            line, rest = line + 1, b""
        kept = f"; lines up to {line - 1} are read" if line > 1 else ""
        raise UnreadableFileError(f"{error}{kept}", rest or error.text) from None
    if rest:
        yield Page(rest + b"\n", line, 1)
