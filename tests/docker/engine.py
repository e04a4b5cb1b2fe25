"""engine: run containers with docker if its daemon answers, else with podman, and give builds this machine's network.

Podman, as root, needs Debian's runc, iptables, netavark and aardvark-dns. If no registry of images can be reached, the
base image is a Debian made by debootstrap.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker" / "compose.yaml"
PUBLIC_BASE = "debian:bookworm-slim"
OWN_BASE = "localhost/checkout-ages-base"
SUITE = "bookworm"
PODMAN_WITHOUT_SYSTEMD = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
PODMAN_COMPLAINS_LESS = "--podman-args=--log-level=fatal"
"""Without it, podman complains about each container that no systemd runs its health checks."""


class NoEngineError(Exception):
    """Neither docker nor podman can run containers here. The message says what to install."""


@dataclass(frozen=True)
class Engine:
    """The way to run containers on this machine."""

    name: str
    compose: tuple[str, ...]
    folder: Path
    """Folder for the engine's own files."""
    environment: Mapping[str, str]

    def run(self, *arguments: str, stdin: int | None = None) -> str:
        """Run a command of the engine and return its output; errors are shown in the terminal."""
        return self._run((self.name, *arguments), stdin=stdin)

    def run_compose(self, *arguments: str) -> str:
        """Run a command on the services of compose.yaml."""
        return self._run((*self.compose, "--file", str(COMPOSE_FILE), *arguments))

    def _run(self, command: tuple[str, ...], stdin: int | None = None) -> str:
        done = subprocess.run(command, env=dict(self.environment), stdin=stdin, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout

    def logs(self, container: str, *options: str) -> str:
        """Return the output of a container."""
        command = [self.name, "logs", *options, container]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, env=dict(self.environment), check=True, text=True, **streams).stdout

    def build(self, image: str, dockerfile: str, base: str, *options: str) -> int:
        """Build an image and return its size in bytes."""
        arguments = ["--quiet", "--tag", image, "--file", str(REPOSITORY / "docker" / dockerfile)]
        network = ["--network", "host", "--build-arg", f"BASE_IMAGE={base}", *options, *self._network_secrets()]
        self.run("build", *arguments, *network, str(REPOSITORY))
        return int(self.run("image", "inspect", "--format", "{{.Size}}", image))

    def base_image(self) -> str:
        """Return BASE_IMAGE of the environment, else the public Debian, else one that debootstrap makes."""
        if named := self.environment.get("BASE_IMAGE"):
            return named
        for image in (PUBLIC_BASE, OWN_BASE):
            if self._answers("image", "inspect", image):
                return image
        if self._answers("pull", "--quiet", PUBLIC_BASE):
            return PUBLIC_BASE
        self._import_debian()
        return OWN_BASE

    def _answers(self, *arguments: str) -> bool:
        done = subprocess.run([self.name, *arguments], env=dict(self.environment), capture_output=True, check=False)
        return done.returncode == 0

    def _import_debian(self) -> None:
        root = self.folder / "debian"
        self._run(("debootstrap", "--variant=minbase", SUITE, str(root)))
        left_out = [f"--exclude=./{path}" for path in ("var/cache/apt/*", "var/lib/apt/lists/*")]
        tar_command = ["tar", "--directory", root, *left_out, "--create", "."]
        with subprocess.Popen(tar_command, stdout=subprocess.PIPE) as tar:
            assert tar.stdout is not None
            self.run("import", "-", OWN_BASE, stdin=tar.stdout.fileno())
        shutil.rmtree(root)

    def _network_secrets(self) -> list[str]:
        """Give the machine's package index and certificates to the build, without keeping them in the image."""
        settings = {"cert": "/run/secrets/ca_certificates"}
        listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            name, _, value = line.partition("=")
            key = name.split(".")[-1]
            if key in ("index-url", "trusted-host", "timeout") or (key == "extra-index-url" and "file:" not in value):
                settings[key] = value.strip("'\"")
        pip_conf = self.folder / "pip.conf"
        pip_conf.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        certificates = self.environment.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
        return ["--secret", f"id=pip_conf,src={pip_conf}", "--secret", f"id=ca_certificates,src={certificates}"]


def find_engine(folder: Path) -> Engine:
    """Return the engine of this machine; its own files are in `folder`. Raises NoEngineError."""
    environment = dict(os.environ)
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return Engine("docker", ("docker", "compose"), folder, environment | {"DOCKER_BUILDKIT": "1"})
    if not shutil.which("podman"):
        raise NoEngineError(
            "no docker daemon answers and there is no podman; on Debian, as root: apt-get install "
            "--no-install-recommends podman runc iptables netavark aardvark-dns debootstrap"
        )
    environment["BUILDAH_FORMAT"] = "docker"  # the other format has no health checks
    compose = (str(Path(sys.prefix, "bin", "podman-compose")),)
    if Path("/run/systemd/system").exists():
        return Engine("podman", compose, folder, environment)
    if "CONTAINERS_CONF" not in environment:
        (folder / "containers.conf").write_text(PODMAN_WITHOUT_SYSTEMD)
        environment["CONTAINERS_CONF"] = str(folder / "containers.conf")
    return Engine("podman", (*compose, PODMAN_COMPLAINS_LESS), folder, environment)
