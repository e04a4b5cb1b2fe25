"""kill_switch: kill a process at an exact call of ObjectStore. Only tests install it; the product has no code for it.

The switch is a file that describes a point. While it exists, each call of ObjectStore in any process with the switch
installed is compared with that point. At the point the file is renamed, so that it fires only once, and the signal is
sent. `preloaded/sitecustomize.py` installs the switch in every Python that starts with that folder on PYTHONPATH:
drivers, and Spark's Python workers.
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
    """A call of ObjectStore, such as the third copy to a key that matches, with the signal and its target.

    `half` is the middle of a write or copy on a file system: there is a half-written file under the store's temporary
    name.
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
    """Make the next process that reaches the point get its signal."""
    fired(switch).unlink(missing_ok=True)
    written = switch.with_suffix(".written")
    written.write_text(json.dumps(asdict(point)))
    written.rename(switch)


def fired(switch: Path) -> Path:
    """Return the path of the switch's file after its point was reached."""
    return switch.with_suffix(".fired")


class Switch:
    """The calls of this process, and the file that describes the call at which it is killed."""

    def __init__(self, file: Path, recorded: Path | None = None) -> None:
        self._file = file
        self._recorded = recorded
        self._calls = 0

    @contextmanager
    def around(self, operation: str, key: str, half: Callable[[], None] | None = None) -> Iterator[None]:
        """Compare the point with this call: before it, in its middle, and after it."""
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
    """Return the path of an object in a local store."""
    return Path(store.location(key).removeprefix("file://"))


def _leave_half(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}#0").write_bytes(content[: len(content) // 2])


def _jvm() -> int:
    """Return the process id of the JVM of this driver or Python worker."""
    import psutil

    own = psutil.Process()
    processes: Any = [*own.parents(), *own.children(recursive=True)]
    return int(next(process.pid for process in processes if "java" in process.name()))
