"""publishing_lock: a lock in the warehouse itself, which lets only one process at a time publish a day.

    {folder}/00000001.json, 00000002.json, …    the highest number says who holds the lock, or that nobody does

A process takes, renews or releases the lock by creating the file with the next number, if that does not exist yet. It
has succeeded if the highest number then names it. Lower numbers are deleted, the highest never is. The store only has
to create an object in one step, so the lock works on a file system as on S3. If two processes try at once, one wins. A
holder that lost the lock to another process finds out when it renews the lock.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from jobs.errors import PublishingLockError, StoreError
from jobs.warehouse.object_store import ObjectStore

NUMBER_DIGITS = 8


@dataclass(frozen=True)
class LockState:
    """The state of a lock, as the file with the highest number holds it."""

    run_id: str
    owner: str
    process: str
    renewed_at: str
    is_held: bool

    @property
    def age_seconds(self) -> float:
        """Seconds since the holder last wrote to the lock, by this machine's clock."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.renewed_at)).total_seconds()

    @property
    def holder(self) -> str:
        """A description of the lock's holder, with the time since its last sign of life."""
        return f"run '{self.run_id}' ({self.process}), last heard of {max(0.0, self.age_seconds):.0f} s ago"


@dataclass(frozen=True)
class PublishingLock:
    """One process's access to the lock in `folder`. `subject` says in words what is published, for messages."""

    store: ObjectStore
    folder: str
    subject: str
    run_id: str
    stale_seconds: float
    owner: str = field(default_factory=lambda: uuid4().hex)

    @contextmanager
    def held(self) -> Iterator[PublishingLock]:
        """Hold the lock during the block.

        If another process holds it and wrote to it within the last `stale_seconds`, raises PublishingLockError that
        names that process. Otherwise the lock is taken over.
        """
        if rival := self._taken():
            raise PublishingLockError(
                f"{self.subject} is being published by {rival.holder}; try again when that process has ended, or, "
                f"if it is dead, {self.stale_seconds:g} s after its last sign of life"
            )
        try:
            yield self
        finally:
            self._put_down(is_held=False, allowed=self._is_mine)

    def renew(self) -> None:
        """Record that this process is alive. Raises PublishingLockError if another process has taken the lock over."""
        if rival := self._put_down(is_held=True, allowed=self._is_mine):
            raise PublishingLockError(
                f"run '{self.run_id}' stops publishing {self.subject}: it gave no sign of life for "
                f"{self.stale_seconds:g} s and lost its lock to {rival.holder}; run it again when that process ends"
            )

    def _taken(self) -> LockState | None:
        """Take the lock. If the store's answer is lost, release the lock, which may have been taken with no holder."""
        try:
            return self._put_down(is_held=True, allowed=self._is_free)
        except StoreError:
            with suppress(StoreError):
                self._put_down(is_held=False, allowed=self._is_mine)
            raise

    def _is_free(self, latest: LockState) -> bool:
        return not latest.is_held or latest.age_seconds >= self.stale_seconds

    def _is_mine(self, latest: LockState) -> bool:
        return latest.owner == self.owner

    def _put_down(self, *, is_held: bool, allowed: Callable[[LockState], bool]) -> LockState | None:
        """Create the number after the highest, if `allowed` permits it; return the other holder if we lost."""
        number, latest = self._latest()
        if latest and not allowed(latest):
            return latest
        state = LockState(self.run_id, self.owner, _this_process(), datetime.now(UTC).isoformat(), is_held)
        # Whether this call created the number does not matter: reading the highest again says who won.
        self.store.create(self._key(number + 1), json.dumps(asdict(state)).encode())
        number, latest = self._latest()
        if latest and not self._is_mine(latest):
            return latest
        # Only the winner deletes, and only lower numbers, so the highest is never lost.
        self.store.delete(key for key in self._keys() if key < self._key(number))
        return None

    def _latest(self) -> tuple[int, LockState | None]:
        """Return the highest number and its state; 0 and None if there is none yet."""
        while keys := self._keys():
            with suppress(FileNotFoundError):  # a higher one came since the listing
                return int(keys[-1][-NUMBER_DIGITS - 5 : -5]), LockState(**json.loads(self.store.read(keys[-1])))
        return 0, None

    def _keys(self) -> list[str]:
        return sorted(entry.key for entry in self.store.list(self.folder))

    def _key(self, number: int) -> str:
        return f"{self.folder}/{number:0{NUMBER_DIGITS}}.json"


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
