"""kill_switch: kills a process at an exact call of ObjectStore. Tests put it into a process; the product knows nothing.

The switch is a file: while it is there, each call of ObjectStore in any process that has the switch installed is held
against the point that it describes. At the point the file is renamed, so that a point is reached once, and the signal
is sent. `preloaded/sitecustomize.py` installs it in every Python that starts with that folder on PYTHONPATH: drivers,
and Spark's Python workers.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from jobs.warehouse.object_store import ObjectStore

SWITCH = "KILL_SWITCH"
"""The environment variable that names the file, for processes that sitecustomize prepares."""

Moment = Literal["before", "half", "after"]


@dataclass(frozen=True)
class Point:
    """A call of ObjectStore, such as the third copy to a key that matches, and what happens there to whom.

    `half` is what a file system shows in the middle of a write or copy: a half-written file under the store's
    temporary name.
    """

    operation: Literal["write", "create", "copy", "delete", "open", "close", "read"]
    key: str = ""
    number: int = 1
    moment: Moment = "before"
    victim: Literal["self", "jvm"] = "self"
    sent: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        whom = "" if self.victim == "self" else f", {self.victim}"
        return f"{self.moment} {self.operation} {self.number} of '{self.key}'{whom}"


def arm(switch: Path, point: Point) -> None:
    """Let the next process that comes to the point be killed."""
    fired(switch).unlink(missing_ok=True)
    written = switch.with_suffix(".written")
    written.write_text(json.dumps(asdict(point)))
    written.rename(switch)


def fired(switch: Path) -> Path:
    """The switch's file after a point was reached."""
    return switch.with_suffix(".fired")


class Switch:
    """The calls that this process has made, and the file that says at which one it dies."""

    def __init__(self, file: Path, recorded: Path | None = None) -> None:
        self._file = file
        self._recorded = recorded
        self._calls = 0

    @contextmanager
    def around(self, operation: str, key: str, half: Callable[[], None] | None = None) -> Iterator[None]:
        """Be reached before a call, in the middle of it, and after it."""
        if self._recorded:
            with self._recorded.open("a") as record:
                record.write(json.dumps([operation, key]) + "\n")
        point = self._point()
        is_alike = point is not None and point.operation == operation and bool(re.search(point.key, key))
        self._calls += is_alike
        is_here = is_alike and point is not None and point.number == self._calls
        if point and is_here and point.moment == "half" and half:
            half()
        if point and is_here and point.moment in ("before", "half"):
            self._fire(point)
        yield
        if point and is_here and point.moment == "after":
            self._fire(point)

    def _point(self) -> Point | None:
        try:
            return Point(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return None

    def _fire(self, point: Point) -> None:
        try:
            self._file.rename(fired(self._file))
        except FileNotFoundError:
            return
        os.kill(os.getpid() if point.victim == "self" else _jvm(), point.sent)


def install(switch: Switch) -> None:
    """Wrap the calls of ObjectStore that change something, and the reading of whole objects, in this process."""
    for operation in ("write", "create", "copy", "read"):
        setattr(ObjectStore, operation, _switched(switch, operation))
    ObjectStore.delete = _switched_delete(switch)  # type: ignore[method-assign]
    ObjectStore.writer = _switched_writer(switch)  # type: ignore[method-assign]


def _switched(switch: Switch, operation: str) -> Callable[..., Any]:
    call = getattr(ObjectStore, operation)

    def switched(store: ObjectStore, *arguments: Any) -> Any:
        key = arguments[1] if operation == "copy" else arguments[0]

        def half() -> None:
            content = store.read(arguments[0]) if operation == "copy" else arguments[1]
            _leave_half(local_path(store, key), content)

        with switch.around(operation, key, half):
            return call(store, *arguments)

    return switched


def _switched_delete(switch: Switch) -> Callable[..., None]:
    delete = ObjectStore.delete

    def switched(store: ObjectStore, keys: Iterable[str]) -> None:
        for key in keys:
            with switch.around("delete", key):
                delete(store, [key])

    return switched


def _switched_writer(switch: Switch) -> Callable[..., Any]:
    writer = ObjectStore.writer

    @contextmanager
    def switched(store: ObjectStore, key: str) -> Iterator[IO[bytes]]:
        with switch.around("open", key):
            pass
        with writer(store, key) as stream:
            yield stream
            with switch.around("close", key):
                pass

    return switched


def local_path(store: ObjectStore, key: str) -> Path:
    """Where an object of a local store lies."""
    return Path(store.location(key).removeprefix("file://"))


def _leave_half(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}#0").write_bytes(content[: len(content) // 2])


def _jvm() -> int:
    """The JVM that this process is a driver's of, or a worker's."""
    import psutil

    own = psutil.Process()
    processes: Any = [*own.parents(), *own.children(recursive=True)]
    return int(next(process.pid for process in processes if "java" in process.name()))
