"""s3_server: a real S3 server (SeaweedFS, from its wheel) on a free port. It checks credentials."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BUCKET = "checkout-ages-test"


def free_port() -> int:
    """Return a free port that no client's connection takes before the server does."""
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = random.SystemRandom().randrange(10_000, max(first_of_clients, 20_000))
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    return port


S3_PORT = free_port()
S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "checkout-ages-key",
    "AWS_SECRET_ACCESS_KEY": "checkout-ages-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3_PORT}",
}


@dataclass(frozen=True)
class Identity:
    """An account and its rights, such as Identity("night", "key", "secret", ("Read:landing", "List:landing"))."""

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
    """Start the server with its buckets and stop it at the end; yield a client of ADMIN, who always has an account."""
    with ExitStack() as stack:
        log = stack.enter_context((folder / "weed.log").open("w"))
        own = os.environ | {"TMPDIR": stack.enter_context(TemporaryDirectory(prefix="s3-"))}
        command = [*_command(folder, port, [ADMIN, *identities]), *options]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=own)
        stack.callback(_remove_sockets, command)
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
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # they use fixed ports, so a second server would fail
        *(f"-{name}={port}" for name, port in ports.items()),
        *(f"-{name}.grpc={free_port()}" for name in ports),
    ]


def _remove_sockets(command: Sequence[str]) -> None:
    """Remove the sockets that a killed server leaves in /tmp; their names end in its ports."""
    for port in re.findall(r"=(\d+)$", "\n".join(command), re.MULTILINE):
        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            left.unlink(missing_ok=True)


@contextmanager
def running_https_s3_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Start the server with a certificate of its own CA; yield its https endpoint and the CA's certificate."""
    port = free_port()
    certificate, key = write_certificate(folder)
    options = [f"-s3.port.https={port}", f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
    with running_s3_server(folder, free_port(), options=options):
        yield f"https://127.0.0.1:{port}", certificate


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA of the tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    files = folder / "server.pem", folder / "server.key"
    files[0].write_bytes(certificate.public_bytes(pem))
    files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return files


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
        except client.exceptions.BucketAlreadyOwnedByYou:  # a busy server made it, and its answer came too late
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
