"""job: the input of one child process, as JSON on its command line, and its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Run = Callable[..., int]
"""Does the timed part and returns the number of rows."""


@dataclass(frozen=True)
class Job:
    """One contender's photos and the cores that it may use."""

    contender: str
    photos: str
    """Folder of the photos to time, or for S3 the URI of their prefix."""
    warm_up_photos: str
    photo_count: int
    work: str
    """An own folder for the turn, empty at the start."""
    cores: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        told = json.loads(text)
        return cls(**told | {"cores": tuple(told["cores"])})


@dataclass(frozen=True)
class Ready:
    """A contender that is loaded and warm: its timed part, and the facts that were measured while loading."""

    run: Run
    facts: dict[str, Any] = field(default_factory=dict)


def photo_files(folder: str) -> list[Path]:
    """List the photos of a folder by name."""
    return sorted(path for path in Path(folder).iterdir() if path.is_file())


def photo_contents(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in photo_files(folder)]


def batches(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def shares(items: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Divide items evenly, in turn."""
    return [items[place::count] for place in range(count)]
