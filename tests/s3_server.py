"""A real S3 server (SeaweedFS, from its wheel) on a free port, which checks credentials."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "checkout-ages-test"


def free_port() -> int:
    """Return a port that nobody listens on, below those that clients are given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port if port < 50_000 else free_port()


S3_PORT = free_port()
S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "checkout-ages-key",
    "AWS_SECRET_ACCESS_KEY": "checkout-ages-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3_PORT}",
}


@dataclass(frozen=True)
class Identity:
    """Who may do what on the server, as in Identity("night", "key", "secret", ("Read:landing", "List:landing"))."""

    name: str
    key_id: str
    secret: str
    actions: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        credentials = [{"accessKey": self.key_id, "secretKey": self.secret}]
        return {"name": self.name, "credentials": credentials, "actions": self.actions}


ADMIN = Identity(
    "tests",
    S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
    S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    ("Admin", "Read", "Write", "List", "Tagging"),
)


@contextmanager
def running_s3_server(
    folder: Path,
    port: int = S3_PORT,
    identities: Sequence[Identity] = (),
    buckets: Sequence[str] = (BUCKET,),
    options: Sequence[str] = (),
) -> Iterator[Any]:
    """Start the server with its buckets, and stop it at the end; yield a client of ADMIN, who is always known to it."""
    with ExitStack() as stack:
        log = stack.enter_context((folder / "weed.log").open("w"))
        command = [*_command(folder, port, [ADMIN, *identities]), *options]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        stack.callback(server.wait)
        stack.callback(server.kill)
        client = _client(port)
        for bucket in buckets:
            _create_bucket(client, bucket, deadline=time.monotonic() + 60)
        yield client


def _command(folder: Path, port: int, identities: Sequence[Identity]) -> list[str]:
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity.as_json() for identity in identities]}))
    ports = {"master.port": free_port(), "volume.port": free_port(), "filer.port": free_port(), "s3.port": port}
    return [
        str(Path(sys.executable).parent / "weed"),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-volume.max=100",
        "-master.volumeSizeLimitMB=64",
        "-filer",
        "-s3",
        f"-s3.config={config}",
        *(f"-{name}={port}" for name, port in ports.items()),
        *(f"-{name}.grpc={free_port()}" for name in ports),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _client(port: int) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=ADMIN.key_id,
        aws_secret_access_key=ADMIN.secret,
        region_name=S3_ENVIRONMENT["AWS_REGION"],
        config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )


def _create_bucket(client: Any, bucket: str, deadline: float) -> None:
    while True:
        try:
            client.create_bucket(Bucket=bucket)
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
