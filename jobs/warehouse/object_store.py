"""object_store: reads and writes objects under a URI (file:, s3:, gs:). No other module accesses files or buckets.

Credentials and endpoint come from the environment, under the standard names: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL. A connection is unencrypted only if the endpoint begins with http://.
If the server's CA is not one of the system's, SSL_CERT_FILE names its certificate.

Transient failures are retried a bounded number of times with backoff and jitter. What still fails raises StoreError
naming the object; refused credentials and a missing bucket raise InputError. A read returns all bytes of one version of
an object, or an error.
"""

from __future__ import annotations

import io
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import obstore
import pyarrow.fs as fs
from obstore import exceptions
from obstore.store import from_url

from jobs.errors import InputError, ReplacedError, StoreError, UnusableKeyError, first_line
from jobs.warehouse.copy_in_parts import copy_in_parts

if TYPE_CHECKING:
    from obstore import GetOptions

SCHEMES = ("file", "s3", "gs")
INSTANCE_METADATA_HOST = "169.254.169.254"
"""Host that an AWS client asks for credentials when the environment has none."""
REFUSALS = ("403 Forbidden", "401 Unauthorized", "AccessDenied", "ExpiredToken")

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 20.0
"""Seconds in which a server must send something. One part of an upload, 10 MB, must be sent in this time too, so a
shorter limit breaks slow connections.
"""
REQUEST_SECONDS = 120.0
RETRIES = 5
RETRY_SECONDS = 180.0
"""No request is tried again later than this after its first try."""

ATTEMPTS = 3
"""Tries where the library does not retry by itself: an answer cut off within a listing, a copy, a deletion."""
RETRIED_BY_LIBRARY = " retries, max_retries"
CUT_OFF = "request or response body error"
"""Message for an answer that was cut off. The library does not retry after it, even if it says that it did before."""
REFUSED_KEY = re.compile("Could not parse path|object with invalid path|Expected string path")
"""Messages by which obstore refuses a key: when it is read, listed, or deleted."""

LARGEST_COPY_BYTES = 1_000_000_000
"""Larger objects of S3 are copied in parts, where no setting says otherwise. AWS copies up to 5 GB in one request, but
some stores only 1 GB, and a server that says nothing while it copies must be done within SILENCE_SECONDS.
"""

DOWNLOAD_BUFFER_BYTES = 1024 * 1024
HEAD_THREADS = 8

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing returns it. `key` is relative to the store's URI."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True)
class ObjectStore:
    """The objects under a URI; keys are relative to it. An instance is cheap to create and to send to a worker."""

    uri: str
    largest_copy_bytes: int = LARGEST_COPY_BYTES

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects below a folder, in no particular order.

        A key that the storage library refuses is listed too, without an etag; it cannot be read.
        """
        try:
            yield from self._pages(prefix)
        except UnusableKeyError:
            yield from self._listed_with_refused_keys(prefix, recursive=True)[1]

    def list_folder(self, folder: str) -> tuple[Sequence[str], Sequence[StoredObject]]:
        """Return the sub-folders of a folder and the objects directly in it."""
        try:
            with self._store_errors(folder):
                listing = _with_retries(lambda: obstore.list_with_delimiter(self._store, folder or None))
        except UnusableKeyError:
            return self._listed_with_refused_keys(folder, recursive=False)
        return list(listing["common_prefixes"]), [_stored_object(entry) for entry in listing["objects"]]

    def check_reachable(self) -> None:
        """Check that the store answers, with one listing.

        Raises InputError that says what is wrong with URI, endpoint, bucket or credentials.
        """
        self.list_folder("_locks")

    def exists(self, key: str) -> bool:
        """Say whether the object exists."""
        try:
            with self._store_errors(key):
                obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def read(self, key: str, etag: str | None = None, size_bytes: int | None = None) -> bytes:
        """Return the bytes of a whole object. With an etag and a size, it must still be the object that was listed.

        Raises FileNotFoundError when it does not exist, ReplacedError when its etag differs, StoreError when bytes are
        missing.
        """
        with self._store_errors(key):
            answer = obstore.get(self._store, key, options=_only_if(etag))
            content = bytes(answer.bytes())
        whole = answer.meta["size"] if size_bytes is None else size_bytes
        if len(content) != whole:
            raise StoreError(f"object '{self.location(key)}' came with {len(content)} of its {whole} bytes")
        return content

    @contextmanager
    def reader(self, key: str, buffer_bytes: int = DOWNLOAD_BUFFER_BYTES) -> Iterator[io.BufferedReader]:
        """Open an object for reading at any offset. Raises ReplacedError when another object takes its place.

        At least `buffer_bytes` are fetched at a time.
        """
        with self._store_errors(key):
            opened = _stored_object(obstore.head(self._store, key))
            download = _Download(lambda first, end: self._read_range(key, opened.etag, first, end), opened.size_bytes)
            yield io.BufferedReader(download, buffer_bytes)

    @contextmanager
    def writer(self, key: str) -> Iterator[IO[bytes]]:
        """Open an object for writing. Readers see the whole object when the block ends, and nothing if it fails."""
        with self._store_errors(key):
            upload = _Upload(obstore.open_writer(self._store, key), lambda error: self._failed(key, error))
            yield cast("IO[bytes]", upload)
            # Not reached when the block fails: the upload is then never completed, and no object appears.
            upload.finish()

    def write(self, key: str, data: bytes) -> None:
        """Write an object in one atomic replace."""
        with self._store_errors(key):
            obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if none exists with its key. Returns whether it was written."""
        try:
            with self._store_errors(key):
                # A multipart upload cannot be told to fail when the object exists.
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except FileExistsError:
            return False
        return True

    def copy(self, source_key: str, target_key: str) -> None:
        """Copy an object over another in one atomic replace, however large it is."""
        with self._store_errors(target_key):
            if self._is_too_large_for_one_copy(source_key):
                self._copy_in_parts(source_key, target_key)
            else:
                _with_retries(lambda: obstore.copy(self._store, source_key, target_key, overwrite=True))

    def _is_too_large_for_one_copy(self, key: str) -> bool:
        if not self.uri.startswith("s3:"):
            return False
        try:
            size_bytes: int = obstore.head(self._store, key)["size"]
        except exceptions.BaseError:
            return False  # the copy fails too, with the store's words, which an answer to HEAD lacks
        return size_bytes > self.largest_copy_bytes

    def _copy_in_parts(self, source_key: str, target_key: str) -> None:
        try:
            copy_in_parts(self.uri, source_key, target_key, self.largest_copy_bytes)
        except OSError as error:
            raise self._failed(target_key, error) from None

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a missing object is no error."""
        for key in keys:
            try:
                with self._store_errors(key):
                    self._delete(key)
            except UnusableKeyError:
                filesystem, root = _pyarrow_filesystem(self.uri)
                filesystem.delete_file(f"{root}/{key}")
            except FileNotFoundError:
                continue

    def _delete(self, key: str) -> None:
        _with_retries(lambda: obstore.delete(self._store, key))

    def delete_folder(self, folder: str) -> None:
        """Delete all objects of a folder; on a file system also half written files and the folder itself.

        No other process may be using the folder.
        """
        self.delete([entry.key for entry in self.list(folder)])
        for path in self._unfinished_files(folder):
            path.unlink(missing_ok=True)
        if self._root:
            for parent, _, _ in os.walk(self._root / folder, topdown=False):
                with suppress(OSError):  # it is in use again, or gone
                    Path(parent).rmdir()

    def delete_unfinished(self, before: datetime) -> None:
        """Delete files on a file system that killed processes left half written before the given moment.

        On S3 these are unfinished uploads, which no listing shows: a lifecycle rule of the bucket must delete them.
        """
        for path in self._unfinished_files():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()

    def location(self, key: str) -> str:
        """Return the full URI of a key, for messages and queries."""
        return f"{self.uri.rstrip('/')}/{key}"

    @property
    def _root(self) -> Path | None:
        """The folder of a store on a file system."""
        parts = urlsplit(self.uri)
        return Path(url2pathname(parts.path)) if parts.scheme == "file" else None

    def _unfinished_files(self, folder: str = "") -> Iterator[Path]:
        """Yield files such as part-0.parquet#1: obstore writes under such a name and renames at the end."""
        for parent, _, names in os.walk(self._root / folder) if self._root else ():
            yield from (Path(parent, name) for name in names if re.search(r"#\d+$", name))

    @property
    def _store(self) -> Any:
        # Credentials are part of the cache key: when the environment changes, a new client is opened.
        return _open(self.uri, tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))

    def _pages(self, prefix: str) -> Iterator[StoredObject]:
        """Yield a listing page by page; a broken listing is resumed after the last key, because S3 lists in order."""
        last_key: str | None = None
        failures = 0
        while True:
            try:
                with self._store_errors(prefix):
                    for page in obstore.list(self._store, prefix or None, offset=last_key, chunk_size=1000):
                        yield from (_stored_object(entry) for entry in page)
                        # Only failures without progress count, so a long listing may break off often.
                        last_key, failures = page[-1]["path"] if page else last_key, 0
                    return
            except StoreError as error:
                failures += 1
                if failures == ATTEMPTS or _was_retried(error):
                    raise
                _wait_before(failures)

    def _listed_with_refused_keys(self, folder: str, recursive: bool) -> tuple[Sequence[str], Sequence[StoredObject]]:
        """List a folder through pyarrow, because obstore refuses the whole listing if it refuses one key."""
        filesystem, root = _pyarrow_filesystem(self.uri)
        try:
            found = filesystem.get_file_info(fs.FileSelector(f"{root}/{folder}".rstrip("/"), recursive=recursive))
        except OSError as error:
            raise StoreError(f"folder '{self.location(folder)}' cannot be listed: {first_line(error)}") from None
        keys = {
            kind: [entry for entry in found if entry.type == kind] for kind in (fs.FileType.File, fs.FileType.Directory)
        }
        with ThreadPoolExecutor(HEAD_THREADS) as pool:
            objects = list(pool.map(lambda entry: self._as_listed(entry, root), keys[fs.FileType.File]))
        folders = [entry.path.removeprefix(f"{root}/") for entry in keys[fs.FileType.Directory]]
        return folders, [entry for entry in objects if entry]

    def _as_listed(self, entry: Any, root: str) -> StoredObject | None:
        key = entry.path.removeprefix(f"{root}/")
        try:
            with self._store_errors(key):
                return _stored_object(obstore.head(self._store, key))
        except UnusableKeyError:
            # No etag: the object is known to exist, but nothing can be read by its key.
            return StoredObject(key, entry.size, "", entry.mtime)
        except FileNotFoundError:
            return None

    def _read_range(self, key: str, etag: str, first: int, end: int) -> bytes:
        """Return the bytes from first to before end of an object that still has the etag."""
        with self._store_errors(key):
            answer = obstore.get(self._store, key, options={**_only_if(etag), "range": (first, end)})
            content = bytes(answer.bytes())
        if len(content) != end - first:
            raise StoreError(f"object '{self.location(key)}' came with {len(content)} of {end - first} bytes asked for")
        return content

    @contextmanager
    def _store_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except exceptions.AlreadyExistsError as error:
            raise FileExistsError(first_line(error)) from None
        except exceptions.NotFoundError as error:
            raise self._not_found(error) from None
        except exceptions.PreconditionError:
            raise ReplacedError(
                f"object '{self.location(key)}' was replaced since it was listed or opened; run the step again"
            ) from None
        except (exceptions.InvalidPathError, ValueError, TypeError) as error:
            if not REFUSED_KEY.search(str(error)):
                raise
            raise UnusableKeyError(f"key '{key[:300]}' cannot be used: {error}"[:600]) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise self._refused(key) from None
        except exceptions.GenericError as error:
            raise self._failed(key, error) from None

    def _not_found(self, error: Exception) -> Exception:
        return self._no_bucket() if "NoSuchBucket" in str(error) else FileNotFoundError(first_line(error))

    def _failed(self, key: str, error: Exception) -> InputError:
        """Explain a failed request; a listing reports a refusal and a missing bucket by status code only."""
        words = str(error)
        if INSTANCE_METADATA_HOST in words:
            return InputError(
                f"no credentials for object store '{self.uri}'; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if any(refusal in words for refusal in REFUSALS):
            return self._refused(key)
        if "404 Not Found" in words:
            return self._no_bucket()
        if untrusted := re.search(r"InvalidCertificate\(\s*(\w+)", words):
            return InputError(
                f"object store '{self.uri}' showed a certificate at {_endpoint()} that is not trusted "
                f"({untrusted[1]}); name the file of its CA's certificate in SSL_CERT_FILE"
            )
        return StoreError(
            f"object store '{self.uri}' cannot be reached at {_endpoint()} for '{key[:300]}': {first_line(error)}; "
            "check the URI and AWS_ENDPOINT_URL, or try again when the store answers"
        )

    def _refused(self, key: str) -> InputError:
        return InputError(
            f"object store '{self.uri}' refused the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            f"the bucket's policy for '{key[:300]}', and whether AWS_SESSION_TOKEN has expired"
        )

    def _no_bucket(self) -> InputError:
        return InputError(f"the bucket of '{self.uri}' does not exist at {_endpoint()}; create it or correct the URI")


class _Download(io.RawIOBase):
    """Ranges of an object as the file that pyarrow expects; `read_range` takes the first offset and the end."""

    def __init__(self, read_range: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._read_range = read_range
        self._size_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size_bytes)
        if end <= self._at:
            return 0
        content = self._read_range(self._at, end)
        buffer[: len(content)] = content
        self._at = end
        return len(content)


class _Upload(io.RawIOBase):
    """An obstore writer as the file object that pyarrow expects; closing it does not finish the upload."""

    def __init__(self, upload: Any, explain: Callable[[OSError], Exception]) -> None:
        self._upload = upload
        self._explain = explain
        self._written_bytes = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written_bytes

    def write(self, data: Any) -> int:
        content = bytes(data)
        with self._upload_errors():
            self._upload.write(content)
        self._written_bytes += len(content)
        return len(content)

    def finish(self) -> None:
        with self._upload_errors():
            self._upload.close()

    @contextmanager
    def _upload_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explain(error) from None


@lru_cache(maxsize=16)
def _open(uri: str, environment: tuple[tuple[str, str], ...]) -> Any:
    """Open one client per URI and set of credentials, shared by all threads of the process."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise InputError(f"'{uri}' has a scheme that is not supported; begin it with file:///, s3:// or gs://")
    if parts.scheme == "file":
        return from_url(uri, mkdir=True)
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if "@" in endpoint:
        raise InputError(
            "AWS_ENDPOINT_URL holds credentials and is not shown: set it to the server's address only, "
            "as in https://s3.example.com, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return from_url(
        uri,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=SILENCE_SECONDS),
            "timeout": timedelta(seconds=REQUEST_SECONDS),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    )


def _pyarrow_filesystem(uri: str) -> tuple[Any, str]:
    """Return pyarrow's file system for a URI, which accepts any key, and the folder of the URI in it."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return fs.LocalFileSystem(), unquote(parts.path).rstrip("/")
    if parts.scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return fs.S3FileSystem(
            region=os.environ.get("AWS_REGION"),
            endpoint_override=endpoint,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=SILENCE_SECONDS,
        ), f"{parts.netloc}{unquote(parts.path)}".rstrip("/")
    raise InputError(
        f"object store '{uri}' holds a key that cannot be listed, with a control character or an empty part"
    )


def _with_retries(ask: Callable[[], Answer]) -> Answer:
    """Retry a request that may safely be repeated, where the answer was cut off and the library does not retry."""
    for failures in range(1, ATTEMPTS):
        try:
            return ask()
        except exceptions.GenericError as error:
            is_final = " 403 " in str(error) or " 404 " in str(error)
            if is_final or _was_retried(error):
                raise
        _wait_before(failures)
    return ask()


def _was_retried(error: Exception) -> bool:
    """Say whether the library has already repeated the request as often as it does."""
    return RETRIED_BY_LIBRARY in str(error) and CUT_OFF not in str(error)


def _wait_before(attempt: int) -> None:
    """Back off with full jitter: up to 0.2 s before the second attempt, up to twice as long before each later one."""
    time.sleep(random.uniform(0, 0.1 * 2**attempt))


def _only_if(etag: str | None) -> GetOptions:
    return {"if_match": f'"{etag}"'} if etag else {}


def _stored_object(entry: Any) -> StoredObject:
    return StoredObject(entry["path"], entry["size"], (entry["e_tag"] or "").strip('"'), entry["last_modified"])


def _endpoint() -> str:
    return f"'{os.environ.get('AWS_ENDPOINT_URL', 'the default endpoint')}'"
