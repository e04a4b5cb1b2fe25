"""addresses: what a person types for a landing or a warehouse ► its URI: file:///…, s3://… or gs://…."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import quote, unquote

WINDOWS_PATH = re.compile(r"(?:file:/*)?([A-Za-z]):(.*)|\\\\.*", re.DOTALL)
WITH_SCHEME = re.compile(r"(file|s3[an]?|gs|gcs):(.*)|([a-z][a-z0-9+.-]+)://.*", re.IGNORECASE | re.DOTALL)
BUCKET_SCHEMES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}
"""How other programs name a kind of store, and how it is named here."""


def store_uri(address: str) -> str:
    """Return the URI of a folder or a bucket, without a slash at its end.

    A path is a folder of this machine, `~` is its user's home. Raises ValueError with the right form where an address
    is empty or means something else than it says: a path of Windows, a host after file://, s3:/bucket.
    """
    if not address.strip():
        raise ValueError("it is empty; write a folder, such as /data/landing, or s3://bucket/folder")
    if windows := WINDOWS_PATH.fullmatch(address):
        raise ValueError(_windows(windows))
    found = WITH_SCHEME.fullmatch(address)
    if found is None:
        return _folder(address)
    if found[3]:
        return address.rstrip("/")
    scheme, rest = found[1].lower(), found[2]
    return _file(rest) if scheme == "file" else _bucket(scheme, rest)


def pasteable(uri: str) -> str:
    """Return a URI as a person can paste it into a shell: in quotes where the shell would take it otherwise."""
    return shlex.quote(uri)


def _folder(path: str) -> str:
    """Return the URI of a folder of this machine, percent-encoded, so that a shell takes it as one word."""
    try:
        return Path(path).expanduser().absolute().as_uri()
    except RuntimeError:
        raise ValueError(f"there is no home of user '{path.split('/')[0]}'; write the whole path") from None


def _file(path: str) -> str:
    host, slash, below = path.removeprefix("//").partition("/")
    if path.startswith("//") and host not in ("", "localhost"):
        right = _folder(host + slash + below) if host.startswith(("~", ".")) else _whole_path(host + slash + below)
        raise ValueError(f"'{host}' is where a host is named; write {right}, with three slashes, or the path alone")
    if path.startswith("//"):
        return _whole_path(below)
    if path.startswith("/"):
        return _whole_path(path)
    if path.startswith("~"):
        return _folder(unquote(path))
    raise ValueError(f"a URI names the whole path; write {_folder(unquote(path))}, or the path alone")


def _whole_path(path: str) -> str:
    """Return the URI of a path of a URI, in which letters that a shell or a URI takes otherwise become percents."""
    return f"file:///{quote(path.strip('/'), safe='/%:@=+,~')}"


def _bucket(scheme: str, rest: str) -> str:
    right_scheme = BUCKET_SCHEMES[scheme]
    name = rest.strip("/")
    if not name or rest.startswith("///"):
        raise ValueError(f"it names no bucket; write {right_scheme}://bucket/folder")
    if scheme != right_scheme or not rest.startswith("//"):
        raise ValueError(f"write {right_scheme}://{name}")
    return f"{scheme}://{rest[2:].rstrip('/')}"


def _windows(found: re.Match[str]) -> str:
    if not found[1]:
        return "it is a share of Windows; mount it, and write the folder as this machine names it, such as file:///mnt/share"
    path = found[2].replace("\\", "/").strip("/")
    form = f"file:///mnt/{found[1].lower()}/{path}".rstrip("/")
    return f"it is a path of Windows; write the folder as this machine names it, such as {form}"
