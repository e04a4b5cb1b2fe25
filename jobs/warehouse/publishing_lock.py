"""publishing_lock: the right of one process to publish a day, kept in the warehouse itself.

    {folder}/00000001.json, 00000002.json, …    the highest number says who holds the lock, or that nobody does

To take, renew or let go of the lock is to create the next number, if it is absent; whoever is named by the highest
number afterwards has succeeded. Lower numbers are deleted, the highest never is. Creating is all that a store must do
in one step, so this holds on a file system as on S3: of two takers one wins, and a holder that was overtaken finds out
when it renews.
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
    """What the highest number says."""

    run_id: str
    owner: str
    process: str
    renewed_at: str
    is_held: bool

    @property
    def age_seconds(self) -> float:
        """Seconds since the owner was last heard of, by this machine's clock."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.renewed_at)).total_seconds()

    @property
    def holder(self) -> str:
        """Who holds the lock and for how long it has been silent, in words."""
        return f"run '{self.run_id}' ({self.process}), last heard of {max(0.0, self.age_seconds):.0f} s ago"


@dataclass(frozen=True)
class PublishingLock:
    """One process' claim on a lock that lies in `folder`; `subject` is what it publishes, in words."""

    store: ObjectStore
    folder: str
    subject: str
    run_id: str
    stale_seconds: float
    owner: str = field(default_factory=lambda: uuid4().hex)

    @contextmanager
    def held(self) -> Iterator[PublishingLock]:
        """Take the lock for the block.

        Raises PublishingLockError naming the holder, if it was heard of in the last `stale_seconds`; the lock of one
        that was not is taken over.
        """
        if rival := self._taken():
            raise PublishingLockError(
                f"{self.subject} is being published by {rival.holder}; try again when it has ended, or, should it be "
                f"dead, {self.stale_seconds:g} s after it was last heard of"
            )
        try:
            yield self
        finally:
            self._put_down(is_held=False, allowed=self._is_mine)

    def renew(self) -> None:
        """Say that this process lives. Raises PublishingLockError when another has taken the lock over."""
        if rival := self._put_down(is_held=True, allowed=self._is_mine):
            raise PublishingLockError(
                f"run '{self.run_id}' stops publishing {self.subject}: not heard of for {self.stale_seconds:g} s, it "
                f"lost its lock to {rival.holder}; run it again when that one has ended"
            )

    def _taken(self) -> LockState | None:
        """Take the lock; one that is there though the store's answer was lost is let go of, as nobody would hold it."""
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
        """Create the number after the highest where that allows it; return who else has the lock, if it is not ours."""
        number, latest = self._latest()
        if latest and not allowed(latest):
            return latest
        state = LockState(self.run_id, self.owner, _this_process(), datetime.now(UTC).isoformat(), is_held)
        self.store.create(self._key(number + 1), json.dumps(asdict(state)).encode())
        number, latest = self._latest()
        if latest and not self._is_mine(latest):
            return latest
        self.store.delete(key for key in self._keys() if key < self._key(number))
        return None

    def _latest(self) -> tuple[int, LockState | None]:
        """Return the highest number and what it says; 0 and None where there is none yet."""
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
