"""object_store: one store of objects under any URI (file:, s3:, gs:), the only module that knows a filesystem.

Credentials and endpoint come from the environment, by the standard names: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL. Only an endpoint that begins with http:// is spoken to in the clear; of
another CA than the system's, SSL_CERT_FILE names the certificate.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore import exceptions
from obstore.store import from_url

from jobs.errors import InputError

SCHEMES = ("file", "s3", "gs")
INSTANCE_METADATA_HOST = "169.254.169.254"
"""Where an AWS client looks for credentials when the environment has none."""
REFUSALS = ("403 Forbidden", "401 Unauthorized", "AccessDenied", "ExpiredToken")


@dataclass(frozen=True)
class StoredObject:
    """One listed object; `key` is relative to the store's URI."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True)
class ObjectStore:
    """Objects under `uri`; keys are relative to it. Cheap to make and to send to a worker."""

    uri: str

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects under a folder-like prefix, in no particular order."""
        with self._explained():
            for page in obstore.list(self._store, prefix or None, chunk_size=1000):
                yield from (_stored_object(entry) for entry in page)

    def list_folder(self, folder: str) -> tuple[Sequence[str], Sequence[StoredObject]]:
        """Return the sub-folders of a folder and the objects that lie in it directly."""
        with self._explained():
            listing = obstore.list_with_delimiter(self._store, folder or None)
        return list(listing["common_prefixes"]), [_stored_object(entry) for entry in listing["objects"]]

    def check_reachable(self) -> None:
        """Ask the store for a listing; InputError names what is wrong with URI, endpoint, bucket or credentials."""
        self.list_folder("_locks")

    def exists(self, key: str) -> bool:
        """Say whether the object is there."""
        try:
            with self._explained():
                obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def read(self, key: str) -> bytes:
        """Return the whole object; FileNotFoundError when it is not there."""
        with self._explained():
            return bytes(obstore.get(self._store, key).bytes())

    @contextmanager
    def reader(self, key: str) -> Iterator[IO[bytes]]:
        """Open an object for reading at any offset."""
        with self._explained():
            yield cast("IO[bytes]", _Download(obstore.open_reader(self._store, key)))

    @contextmanager
    def writer(self, key: str) -> Iterator[IO[bytes]]:
        """Open an object for writing; it appears whole when the block ends, and not at all when it fails."""
        with self._explained():
            upload = obstore.open_writer(self._store, key)
            yield cast("IO[bytes]", _Upload(upload))
            upload.close()

    def write(self, key: str, data: bytes) -> None:
        """Write an object in one atomic replace."""
        with self._explained():
            obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if none is there; say whether it was written."""
        try:
            with self._explained():
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except FileExistsError:
            return False
        return True

    def copy(self, source_key: str, target_key: str) -> None:
        """Copy an object over another in one atomic replace."""
        with self._explained():
            obstore.copy(self._store, source_key, target_key, overwrite=True)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        for key in keys:
            try:
                with self._explained():
                    obstore.delete(self._store, key)
            except FileNotFoundError:
                continue

    def delete_folder(self, folder: str) -> None:
        """Delete a folder that nobody uses: its objects, and on a file system what is half written, and itself."""
        self.delete([entry.key for entry in self.list(folder)])
        for path in self._unfinished_files(folder):
            path.unlink(missing_ok=True)
        if self._root:
            for parent, _, _ in os.walk(self._root / folder, topdown=False):
                with suppress(OSError):  # it is in use again, or gone
                    Path(parent).rmdir()

    def delete_unfinished(self, before: datetime) -> None:
        """Delete the files that killed processes left half written on a file system before a moment.

        On S3 they are unfinished uploads, which no listing shows: a lifecycle rule of the bucket drops those.
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
        """Yield the files part-0.parquet#1 and the like, under which obstore writes until it renames."""
        for parent, _, names in os.walk(self._root / folder) if self._root else ():
            yield from (Path(parent, name) for name in names if re.search(r"#\d+$", name))

    @property
    def _store(self) -> Any:
        return _open(self.uri, tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except exceptions.AlreadyExistsError as error:
            raise FileExistsError(_first_line(error)) from None
        except exceptions.NotFoundError as error:
            raise self._not_found(error) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise self._refused() from None
        except exceptions.GenericError as error:
            raise self._unreachable(error) from None

    def _not_found(self, error: Exception) -> Exception:
        return self._no_bucket() if "NoSuchBucket" in str(error) else FileNotFoundError(_first_line(error))

    def _unreachable(self, error: Exception) -> InputError:
        """Explain a failed request; a listing reports refusal and a missing bucket by status code only."""
        words = str(error)
        if INSTANCE_METADATA_HOST in words:
            return InputError(
                f"no credentials for object store '{self.uri}'; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if any(refusal in words for refusal in REFUSALS):
            return self._refused()
        if "404 Not Found" in words:
            return self._no_bucket()
        if untrusted := re.search(r"InvalidCertificate\(\s*(\w+)", words):
            return InputError(
                f"object store '{self.uri}' showed a certificate at {_endpoint()} that is not trusted "
                f"({untrusted[1]}); name the file of its CA's certificate in SSL_CERT_FILE"
            )
        return InputError(
            f"object store '{self.uri}' cannot be reached at {_endpoint()}: {_first_line(error)}; "
            "check the URI and AWS_ENDPOINT_URL"
        )

    def _refused(self) -> InputError:
        return InputError(
            f"object store '{self.uri}' refused the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            "the bucket's policy, and whether AWS_SESSION_TOKEN has expired"
        )

    def _no_bucket(self) -> InputError:
        return InputError(f"the bucket of '{self.uri}' does not exist at {_endpoint()}; create it or mend the URI")


class _Download(io.RawIOBase):
    """An obstore reader as the file object that pyarrow expects."""

    def __init__(self, download: Any) -> None:
        self._download = download

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._download.seek(offset, whence))

    def tell(self) -> int:
        return int(self._download.tell())

    def read(self, size: int = -1) -> bytes:
        return bytes(self._download.read(None if size < 0 else size))


class _Upload(io.RawIOBase):
    """An obstore writer as the file object that pyarrow expects; closing it does not finish the upload."""

    def __init__(self, upload: Any) -> None:
        self._upload = upload

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._upload.write(bytes(data))
        return len(data)


@lru_cache(maxsize=16)
def _open(uri: str, environment: tuple[tuple[str, str], ...]) -> Any:
    """Open one client per URI and set of credentials, shared by all threads of the process."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise InputError(f"'{uri}' is not a URI of a kind that is read here; begin it with file:///, s3:// or gs://")
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
            "timeout": timedelta(seconds=60),
            "connect_timeout": timedelta(seconds=5),
        },
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
    )


def _stored_object(entry: Any) -> StoredObject:
    return StoredObject(entry["path"], entry["size"], (entry["e_tag"] or "").strip('"'), entry["last_modified"])


def _endpoint() -> str:
    return f"'{os.environ.get('AWS_ENDPOINT_URL', 'the default endpoint')}'"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
