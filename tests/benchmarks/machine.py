"""machine: describe the machine that the figures were measured on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("pyspark", "tensorflow", "keras", "openvino", "nncf", "ray", "daft", "numpy", "pyarrow", "simplejpeg")


def machine(cores: tuple[int, ...]) -> dict[str, Any]:
    """Describe the machine; `cores` are the cores of each contender."""
    return {
        "cpu": _cpu_model(),
        "logical_cores": psutil.cpu_count(),
        "cores_given": len(cores),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
