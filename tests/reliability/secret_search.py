"""secret_search: looks for planted secrets in bytes, files and running processes, in the forms in which they get about.

A secret is looked for as it is, in JSON, in URLs, in hexadecimal and in base64, wherever it begins in the encoded
text. Gzipped files are unzipped and Parquet files read, since compression hides what a reader of the table would see.
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
"""Name and content of something that is there only for a while."""


@dataclass(frozen=True, order=True)
class Finding:
    """One secret, by its name, in one form at one place."""

    secret: str
    form: str
    kind: str
    place: str


@dataclass
class Search:
    """What was searched for the secrets, by their names, and where they were found."""

    secrets: Mapping[str, str]
    places: set[tuple[str, str]] = field(default_factory=set)
    findings: set[Finding] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._forms = {
            form: (name, kind) for name, secret in self.secrets.items() for kind, form in forms_of(secret).items()
        }
        self._pattern = re.compile(b"|".join(re.escape(form) for form in sorted(self._forms, key=len, reverse=True)))

    def content(self, kind: str, place: str, content: bytes) -> None:
        """Search one place of a kind, such as ("event log", its file's name)."""
        self.places.add((kind, place))
        for readable in _readable(place, content):
            for found in self._pattern.findall(readable):
                name, form = self._forms[found]
                self.findings.add(Finding(name, form, kind, place))

    def has(self, kind: str, part: str) -> bool:
        """Say whether a place of this kind was searched whose name has this part."""
        return any(kind == searched and part in place for searched, place in self.places)

    def folder(self, kind: str, folder: Path) -> None:
        """Search all files of a folder."""
        for name, content in files_of(folder)():
            self.content(kind, name, content)


def forms_of(secret: str) -> dict[str, bytes]:
    """Return the forms of a secret by name; base64 without the characters that hold bits of what stands around it."""
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
    """Return a function that yields those files of a folder which are new or have changed since it was last called."""
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
    """Search the command lines of all processes below this one, and what comes and goes elsewhere, until the end."""
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
    """Return a function that yields new command lines of the processes below this one, by their programs."""
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
    """Yield files below a folder, from which others may vanish meanwhile."""
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
