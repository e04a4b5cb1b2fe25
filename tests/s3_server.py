"""A real S3 server (SeaweedFS, from its wheel) on a free port, which checks credentials."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "checkout-ages-test"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port if port < 50_000 else _free_port()


S3_PORT = _free_port()
S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "checkout-ages-key",
    "AWS_SECRET_ACCESS_KEY": "checkout-ages-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3_PORT}",
}


@contextmanager
def running_s3_server(folder: Path) -> Iterator[None]:
    """Start the server with one bucket, and stop it at the end."""
    with ExitStack() as stack:
        log = stack.enter_context((folder / "weed.log").open("w"))
        server = subprocess.Popen(_command(folder), stdout=log, stderr=subprocess.STDOUT)
        stack.callback(server.wait)
        stack.callback(server.kill)
        _create_bucket(deadline=time.monotonic() + 60)
        yield


def _command(folder: Path) -> list[str]:
    identity = {
        "name": "tests",
        "credentials": [
            {
                "accessKey": S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
                "secretKey": S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            }
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    ports = {"master.port": _free_port(), "volume.port": _free_port(), "filer.port": _free_port(), "s3.port": S3_PORT}
    return [
        str(Path(sys.executable).parent / "weed"),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-volume.max=0",
        "-filer",
        "-s3",
        f"-s3.config={config}",
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # on fixed ports, at which a second server would end
        *(f"-{name}={port}" for name, port in ports.items()),
        *(f"-{name}.grpc={_free_port()}" for name in ports),
    ]


def _create_bucket(deadline: float) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=S3_ENVIRONMENT["AWS_ENDPOINT_URL"],
        aws_access_key_id=S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=S3_ENVIRONMENT["AWS_REGION"],
        config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
