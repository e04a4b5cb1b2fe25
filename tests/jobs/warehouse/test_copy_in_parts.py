from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from jobs.errors import InputError, ReplacedError
from jobs.warehouse import copy_in_parts as module
from jobs.warehouse.object_store import ObjectStore
from tests.reliability.fault_proxy import Fault, FaultProxy, Request, running_proxy
from tests.servers.s3_server import BUCKET, S3_PORT

LEAST_PART_BYTES = 5 * 1024**2
OLD, NEW = b"old" * 1_000, bytes(range(256)) * 50_000
"""NEW is copied in three parts."""
COPY = """
import sys
from jobs.warehouse.object_store import ObjectStore
ObjectStore(sys.argv[1], int(sys.argv[2])).copy("new", "old")
"""


@pytest.fixture
def large(s3_bucket: str) -> Iterator[ObjectStore]:
    """A store with a large object, `new`, and a small one, `old`, in whose place it is to be copied."""
    store = ObjectStore(f"{s3_bucket}/large", largest_copy_bytes=LEAST_PART_BYTES)
    store.write("old", OLD)
    store.write("new", NEW)
    yield store
    for upload in unfinished_uploads():
        client().abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    store.delete(["old", "new"])


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with running_proxy(S3_PORT) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def client() -> Any:
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{S3_PORT}", region_name="us-east-1")


def unfinished_uploads() -> list[dict[str, str]]:
    return client().list_multipart_uploads(Bucket=BUCKET, Prefix="large/").get("Uploads", [])


def is_part(request: Request, number: int) -> bool:
    return request.method == "PUT" and f"partNumber={number}" in request.query


def test_a_large_object_is_copied_in_parts_and_appears_whole(large: ObjectStore) -> None:
    large.copy("new", "old")
    assert large.read("old") == large.read("new") == NEW
    parts = client().head_object(Bucket=BUCKET, Key="large/old")["ETag"].strip('"').rpartition("-")[2]
    assert int(parts) == 3
    assert unfinished_uploads() == []


def test_a_copy_goes_on_where_the_store_fails_a_part_for_a_while(large: ObjectStore, proxy: FaultProxy) -> None:
    faults: list[Fault] = ["slow_down", "reset", "lost_answer"]
    proxy.follow(lambda request: faults[request.number - 1] if is_part(request, 2) and request.number <= 3 else None)
    large.copy("new", "old")
    assert large.read("old") == NEW
    assert proxy.sent.total() == 3


@pytest.mark.parametrize(("fault", "words"), [("forbidden", "refused the credentials"), ("slow_down", "SlowDown")])
def test_a_copy_that_fails_leaves_the_old_object_and_no_parts(
    large: ObjectStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, fault: Fault, words: str
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    proxy.follow(lambda request: fault if is_part(request, 2) else None)
    with pytest.raises(InputError, match=rf"object store 's3://{BUCKET}/large' .*{words}"):
        large.copy("new", "old")
    assert large.read("old") == OLD
    assert unfinished_uploads() == []


def test_a_source_that_is_replaced_while_its_parts_are_copied_is_not_mixed(
    large: ObjectStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARTS_AT_A_TIME", 1)

    def replace_before_the_second_part(request: Request) -> Fault | None:
        if is_part(request, 2):
            client().put_object(Bucket=BUCKET, Key="large/new", Body=NEW[::-1])
        return None

    proxy.follow(replace_before_the_second_part)
    with pytest.raises(ReplacedError, match=r"object '.*/large/new' was replaced while it was copied"):
        large.copy("new", "old")
    assert large.read("old") == OLD


def test_a_process_that_is_killed_while_it_copies_leaves_the_old_object_whole(
    large: ObjectStore, proxy: FaultProxy
) -> None:
    is_half = threading.Event()

    def stall_at_the_last_part(request: Request) -> Fault | None:
        if not is_part(request, 3):
            return None
        is_half.set()
        return "stall"

    proxy.follow(stall_at_the_last_part)
    process = subprocess.Popen([sys.executable, "-c", COPY, large.uri, str(LEAST_PART_BYTES)], env=os.environ.copy())
    assert is_half.wait(60)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    proxy.follow(lambda request: None)
    assert large.read("old") == OLD
    large.copy("new", "old")
    assert large.read("old") == NEW


def test_a_small_object_is_copied_in_one_request(large: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.warehouse.object_store.copy_in_parts", pytest.fail)
    large.copy("old", "older")
    assert large.read("older") == OLD
    large.delete(["older"])


def test_a_large_object_that_is_missing_is_a_missing_file(large: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        large.copy("nothing", "old")
