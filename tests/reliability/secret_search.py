"""secret_search: search bytes, files and running processes for planted secrets, in all forms in which they may leak.

The forms are plain text, JSON, URLs, hexadecimal, and base64 at any offset in the encoded text. Gzipped files are
unzipped and Parquet files are read, because compression hides values that a reader of the table would see.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

WATCH_SECONDS = 0.2
Seen = tuple[str, bytes]
"""Name and content of something that exists only for a while."""


@dataclass(frozen=True, order=True)
class Finding:
    """One secret, by its name, in one form at one place."""

    secret: str
    form: str
    kind: str
    place: str


@dataclass
class Search:
    """The searched places, and the places where secrets were found, by the secrets' names."""

    secrets: Mapping[str, str]
    places: set[tuple[str, str]] = field(default_factory=set)
    findings: set[Finding] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._forms = {
            form: (name, kind) for name, secret in self.secrets.items() for kind, form in forms_of(secret).items()
        }
        self._pattern = re.compile(b"|".join(re.escape(form) for form in sorted(self._forms, key=len, reverse=True)))

    def content(self, kind: str, place: str, content: bytes) -> None:
        """Search one place of a kind, such as ("event log", name of the file)."""
        self.places.add((kind, place))
        for readable in _readable(place, content):
            for found in self._pattern.findall(readable):
                name, form = self._forms[found]
                self.findings.add(Finding(name, form, kind, place))

    def has(self, kind: str, part: str) -> bool:
        """Return whether a place of this kind, with this part in its name, was searched."""
        return any(kind == searched and part in place for searched, place in self.places)

    def folder(self, kind: str, folder: Path) -> None:
        """Search all files of a folder."""
        for name, content in files_of(folder)():
            self.content(kind, name, content)


def forms_of(secret: str) -> dict[str, bytes]:
    """Return the forms of a secret by name; base64 without characters that also have bits of the surrounding text."""
    forms = {
        "plain": secret,
        "JSON": json.dumps(secret)[1:-1].replace("/", "\\/"),
        "URL": quote(secret, safe=""),
        "URL path": quote(secret),
        "hex": secret.encode().hex(),
        "HEX": secret.encode().hex().upper(),
    }
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode()
        whole = encoded[(0, 2, 3)[before] : (before + len(secret.encode())) // 3 * 4]
        forms[f"base64 from {before}"] = whole
        forms[f"base64url from {before}"] = whole.translate(str.maketrans("+/", "-_"))
    by_form = {form: name for name, form in reversed(forms.items())}
    return {name: form.encode() for form, name in by_form.items()}


def files_of(folder: Path) -> Callable[[], Iterator[Seen]]:
    """Return a function that yields the files of a folder that are new or have changed since its last call."""
    known: dict[Path, tuple[int, int]] = {}

    def changed_files() -> Iterator[Seen]:
        for path in list(_walk(folder)):
            try:
                state = path.stat()
                if known.get(path) != (state.st_mtime_ns, state.st_size):
                    known[path] = (state.st_mtime_ns, state.st_size)
                    yield str(path.relative_to(folder)), path.read_bytes()
            except OSError:
                continue

    return changed_files


@contextmanager
def watched(search: Search, passing: Mapping[str, Callable[[], Iterable[Seen]]]) -> Iterator[None]:
    """Search the command lines of all descendants of this process, and all `passing` content, until the block ends."""
    ended = Event()

    def watch(kind: str, seen: Callable[[], Iterable[Seen]]) -> None:
        was_last = False
        while not was_last:
            was_last = ended.wait(WATCH_SECONDS)
            for place, content in seen():
                search.content(kind, place, content)

    sources = {**passing, "command line": _command_lines()}
    threads = [Thread(target=watch, args=source, daemon=True) for source in sources.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _command_lines() -> Callable[[], Iterator[Seen]]:
    """Return a function that yields new command lines of this process's descendants, by their programs."""
    known: set[bytes] = set()

    def new_command_lines() -> Iterator[Seen]:
        for process in psutil.Process().children(recursive=True):
            try:
                command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            except OSError:
                continue
            if command_line not in known:
                known.add(command_line)
                yield command_line.split(b"\0")[0].decode(), command_line

    return new_command_lines


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files in a folder and its subfolders; files may disappear meanwhile."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        elif entry.is_file():
            yield entry


def _readable(place: str, content: bytes) -> Iterator[bytes]:
    yield content
    try:
        if content.startswith(b"\x1f\x8b"):
            yield gzip.decompress(content)
        elif content.startswith(b"PAR1") and content.endswith(b"PAR1"):
            table = pq.read_table(pa.BufferReader(content))
            yield json.dumps(table.to_pylist(), default=str, ensure_ascii=False).encode()
            yield str(table.schema.metadata).encode()
    except (OSError, EOFError, zlib.error, pa.ArrowException):
        return
