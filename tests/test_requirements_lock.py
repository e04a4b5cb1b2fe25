"""The lock holds what each supported Python needs; what it resolves to was asked of uv for each."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def locked(python: str) -> dict[str, str]:
    """Return the packages that a Python is given, and their versions."""
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalnum()]
    found = [Requirement(line.removesuffix("\\").strip()) for line in lines]
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in found
        if not requirement.marker or requirement.marker.evaluate(dict(environment))
    }


def test_the_project_supports_these_pythons_and_no_others() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(9, 16) if f"3.{minor}" in supported] == list(PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_gets_what_the_project_asks_for(python: str) -> None:
    packages = locked(python)
    asked = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    for requirement in map(Requirement, asked):
        assert packages[canonicalize_name(requirement.name)] in requirement.specifier
