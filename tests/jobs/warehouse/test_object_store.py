import contextlib
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import boto3
import pytest

from jobs.errors import InputError, ReplacedError, StoreError, UnusableKeyError
from jobs.warehouse.object_store import ObjectStore
from tests.servers.s3_server import BUCKET, running_https_s3_server


def test_what_is_written_is_read_and_listed(store: ObjectStore) -> None:
    store.write("day=1/a.txt", b"one")
    store.write("day=1/deep/b.txt", b"three")
    assert store.read("day=1/a.txt") == b"one"
    assert {entry.key: entry.size_bytes for entry in store.list("day=1")} == {"day=1/a.txt": 3, "day=1/deep/b.txt": 5}
    folders, objects = store.list_folder("day=1")
    assert (folders, [entry.key for entry in objects]) == (["day=1/deep"], ["day=1/a.txt"])


def test_a_replaced_object_has_another_etag(store: ObjectStore) -> None:
    store.write("a", b"one")
    (before,) = store.list()
    store.write("a", b"two")
    (after,) = store.list()
    assert before.etag != after.etag


def test_create_writes_once(store: ObjectStore) -> None:
    assert store.create("lock", b"mine")
    assert not store.create("lock", b"theirs")
    assert store.read("lock") == b"mine"


def test_copy_replaces_the_target(store: ObjectStore) -> None:
    store.write("old", b"old")
    store.write("new", b"new")
    store.copy("new", "old")
    assert (store.read("old"), store.read("new")) == (b"new", b"new")


def test_an_upload_that_fails_leaves_the_old_object(store: ObjectStore) -> None:
    store.write("a", b"old")
    with contextlib.suppress(ZeroDivisionError), store.writer("a") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert store.read("a") == b"old"


def test_a_missing_object_is_a_missing_file_and_deleting_it_is_no_error(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    assert not store.exists("nothing")
    store.delete(["nothing"])


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="'ftp://x' has a scheme that is not supported; begin it with file:///"):
        list(ObjectStore("ftp://x").list())


def test_wrong_credentials_are_named_and_not_shown(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(InputError, match="refused the credentials; check AWS_ACCESS_KEY_ID") as refused:
        list(ObjectStore(s3_bucket).list())
    assert "wrong-secret" not in str(refused.value)


def test_a_bucket_that_does_not_exist_is_named(s3_bucket: str) -> None:
    with pytest.raises(InputError, match="the bucket of 's3://no-such-bucket/x' does not exist"):
        list(ObjectStore("s3://no-such-bucket/x").list())


def test_an_endpoint_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        InputError, match=r"cannot be reached at 'http://127.0.0.1:9'.*check the URI and AWS_ENDPOINT_URL"
    ):
        ObjectStore("s3://somewhere/x").read("a")


def test_an_endpoint_that_holds_credentials_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://key:plan/ted@127.0.0.1:9")
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL holds credentials and is not shown") as refused:
        ObjectStore("s3://somewhere/x").read("a")
    assert "plan" not in str(refused.value)


@pytest.mark.parametrize("key", ["a", "a" * 300])
def test_a_refused_listing_is_told_from_a_store_that_does_not_answer(
    s3_bucket: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(InputError, match=r"refused the credentials; .* whether AWS_SESSION_TOKEN has expired"):
        ObjectStore(s3_bucket).list_folder(key)


def test_an_https_endpoint_is_trusted_by_its_ca_and_by_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_https_s3_server(tmp_path) as (endpoint, ca):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(InputError, match=rf"certificate at '{endpoint}' that is not trusted .* in SSL_CERT_FILE"):
            ObjectStore(f"s3://{BUCKET}/untrusted").read("a")
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        store = ObjectStore(f"s3://{BUCKET}/trusted")
        store.write("a", b"one")
        assert store.read("a") == b"one"


def test_only_an_endpoint_that_says_http_is_spoken_to_in_the_clear(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ObjectStore(f"{s3_bucket}/clear").write("a", b"one")
    monkeypatch.setenv("AWS_ENDPOINT", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(InputError, match="cannot be reached"):
        ObjectStore(f"{s3_bucket}/clear").read("a")


class ExpiredToken(BaseHTTPRequestHandler):
    """Answers each request as S3 does once a session token has expired."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def expired_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ExpiredToken) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "planted-token")
        yield ObjectStore("s3://somewhere/x")
        server.shutdown()


@pytest.mark.parametrize(
    "request_of",
    [
        lambda store: store.read("a"),
        lambda store: list(store.list()),
        lambda store: store.list_folder("a"),
        lambda store: store.write("a", b"one"),
        lambda store: store.create("a", b"one"),
        lambda store: store.copy("a", "b"),
        lambda store: store.delete(["a"]),
    ],
)
def test_a_token_that_has_expired_is_told(
    expired_store: ObjectStore, request_of: Callable[[ObjectStore], object]
) -> None:
    with pytest.raises(
        InputError, match=r"refused the credentials; .* whether AWS_SESSION_TOKEN has expired"
    ) as refused:
        request_of(expired_store)
    assert "planted-token" not in str(refused.value)


ODD_NAMES = (
    "a b",
    "a%2Fb",
    "line\nbreak",
    "tab\there",
    "\u0663",
    "\uff13",
    "=1+1",
    "e\u0301",
    "#h?q&x=1",
    "x" * 200,
    "...",
)


def test_objects_with_odd_keys_are_listed_as_they_are_and_read_where_the_client_takes_the_key(
    store: ObjectStore,
) -> None:
    """A line break in one key would make the client refuse the whole listing."""
    keys = {f"day=7/{name}.jpg" for name in ODD_NAMES}
    write_raw(store, {key: key.encode() for key in keys})
    listed = {entry.key: entry for entry in store.list("day=7")}
    assert set(listed) == keys
    folders, objects = store.list_folder("day=7")
    assert (folders, {entry.key for entry in objects}) == ([], keys)
    for key, entry in listed.items():
        if key.isprintable():
            assert store.read(key, entry.etag, entry.size_bytes) == key.encode()
        else:
            with pytest.raises(UnusableKeyError, match=r"^key 'day=7/\w+\\[nt]\w+.jpg' cannot be used: [^\n]*$"):
                store.read(key)


def test_an_object_under_a_folder_with_a_line_break_is_listed(store: ObjectStore) -> None:
    write_raw(store, {"day=8/store\n=1/a.jpg": b"a", "day=8/store=2/b.jpg": b"b"})
    folders, objects = store.list_folder("day=8")
    assert (sorted(folders), objects) == (["day=8/store\n=1", "day=8/store=2"], [])
    assert [entry.key for folder in sorted(folders) for entry in store.list(folder)] == [
        "day=8/store\n=1/a.jpg",
        "day=8/store=2/b.jpg",
    ]


def test_what_was_listed_is_read_or_nothing(store: ObjectStore) -> None:
    store.write("a", b"one")
    (listed,) = store.list()
    assert store.read("a", listed.etag, listed.size_bytes) == b"one"
    with pytest.raises(StoreError, match=r"object '.*/a' came with 3 of its 4 bytes"):
        store.read("a", listed.etag, 4)
    store.write("a", b"two")
    with pytest.raises(
        ReplacedError, match=r"object '.*/a' was replaced since it was listed or opened; run the step again"
    ):
        store.read("a", listed.etag, listed.size_bytes)


def test_a_reader_gives_any_part_and_never_that_of_another_object(store: ObjectStore) -> None:
    content = bytes(range(256)) * 20_000
    store.write("a", content)
    with store.reader("a") as stream:
        assert (stream.seek(-3, 2), stream.read(), stream.read()) == (len(content) - 3, content[-3:], b"")
        assert (stream.seek(1000), stream.read(5), stream.tell()) == (1000, content[1000:1005], 1005)
        assert (stream.seek(0), stream.read()) == (0, content)
        store.write("a", content[::-1])
        stream.seek(3_000_000)
        with pytest.raises(ReplacedError):
            stream.read(5)


def write_raw(store: ObjectStore, contents: dict[str, bytes]) -> None:
    """Write objects past the client under test, which refuses some keys."""
    for key, content in contents.items():
        if store.uri.startswith("s3://"):
            bucket, _, folder = store.uri.removeprefix("s3://").partition("/")
            endpoint = os.environ["AWS_ENDPOINT_URL"]
            boto3.client("s3", endpoint_url=endpoint).put_object(Bucket=bucket, Key=f"{folder}/{key}", Body=content)
        else:
            path = Path(unquote(urlsplit(store.uri).path), key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
