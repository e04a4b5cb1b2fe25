"""spark_cluster: a real standalone Spark cluster: a master and workers that share no folder, each like its own machine.

A worker has what jobs/operations/README.md says an executor needs, and nothing of the tests: its own working folder,
its own Python with the project installed, and its own short environment, with another time zone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sysconfig import get_path

import psutil
import pyspark

from jobs.local_spark import SMALL_DAY_OPTIONS, local_spark_environment
from tests.servers.s3_server import free_port

REPOSITORY = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).resolve().parent
SECONDS_TO_START = 300
NOT_NEEDED = shutil.ignore_patterns("__pycache__", "age_resnet50-3", "*.onnx", "synthetic_faces-2*")


@dataclass(frozen=True)
class Machine:
    """One worker, and the folder that represents its disk."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def packages(self) -> Path:
        """The folder in which its Python has jobs and models."""
        return _packages(self.folder)

    def kill(self) -> None:
        """Kill the worker, its executors and their Python workers at once, like a power cut."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=30)


@dataclass(frozen=True)
class Cluster:
    """A master with its workers, and the way to submit a driver to it."""

    master: str
    machines: Sequence[Machine]
    driver_environment: Mapping[str, str]
    conf_folder: Path

    def submit(
        self, program: Path, arguments: Sequence[str], properties: Mapping[str, str], variables: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Start spark-submit as Airflow's operator does: with the master, and the cluster's default properties."""
        known = {"spark.executor.extraJavaOptions": self.driver_environment["SPARK_SUBMIT_OPTS"], **properties}
        defaults = self.conf_folder / "spark-defaults.conf"
        defaults.write_text("".join(f"{name} {value}\n" for name, value in known.items()))
        submit = [str(SPARK_HOME / "bin" / "spark-submit"), "--properties-file", str(defaults)]
        return subprocess.Popen(
            [*submit, "--master", self.master, str(program), *arguments],
            env=dict(self.driver_environment) | variables,
            cwd=self.conf_folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def running_cluster(folder: Path, machine_count: int, cores: int, variables: Mapping[str, str]) -> Iterator[Cluster]:
    """Start a master and workers with `cores` each and `variables` in their environment; stop them at the end."""
    quick = local_spark_environment(os.environ)
    names = ("JAVA_HOME", "SPARK_LOCAL_IP", "SPARK_LAUNCHER_OPTS")
    java = {name: quick[name] for name in names} | {
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": SMALL_DAY_OPTIONS,
    }
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    with ExitStack() as stack:
        arguments = ["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
        _started(stack, folder / "master", arguments, java | {"PATH": os.defpath})
        machines = [
            _machine(stack, folder / f"machine-{number}", f"127.0.0.{number}", master, cores, java | variables)
            for number in range(2, 2 + machine_count)
        ]
        _wait_for_workers(folder / "master" / "log", machine_count)
        conf_folder = folder / "driver"
        conf_folder.mkdir()
        driver_environment = java | {
            "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.defpath}",
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "PYTHONPATH": str(REPOSITORY),
            "SPARK_LOCAL_DIRS": str(conf_folder),
            "SPARK_SUBMIT_OPTS": quick["SPARK_SUBMIT_OPTS"],
            **variables,
        }
        yield Cluster(master, machines, driver_environment, conf_folder)


def _machine(
    stack: ExitStack, folder: Path, host: str, master: str, cores: int, variables: Mapping[str, str]
) -> Machine:
    """Start a worker at its own address, because Spark retries a slow task only on another host."""
    venv.create(folder / "python", with_pip=False, symlinks=True)
    packages = _packages(folder)
    (packages / "dependencies.pth").write_text(f"{get_path('purelib')}\n")  # whose own .pth files are not read
    for package in ("jobs", "models"):
        shutil.copytree(REPOSITORY / package, packages / package, ignore=NOT_NEEDED)
    environment = {
        **variables,
        "PATH": f"{folder / 'python' / 'bin'}{os.pathsep}{os.defpath}",
        "SPARK_LOCAL_IP": host,
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "TMPDIR": str(folder),
        "TZ": "Asia/Tokyo",
    }
    sizes = ["--cores", str(cores), "--memory", "2g", "--port", "0", "--webui-port", "0"]
    arguments = ["worker.Worker", "--host", host, "--work-dir", str(folder / "work"), *sizes, master]
    return Machine(folder, _started(stack, folder, arguments, environment))


def _packages(folder: Path) -> Path:
    return Path(get_path("purelib", vars={"base": str(folder / "python")}))


def _started(
    stack: ExitStack, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{arguments[0]}", *arguments[1:]]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _wait_for_workers(log: Path, count: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while len(re.findall("Registering worker", log.read_text())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count} workers have not registered:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
