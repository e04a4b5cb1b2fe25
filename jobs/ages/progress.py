"""progress: logs on the driver how many photos a Spark stage has done, its speed, and the time that is left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def reported_progress(photos_done: Accumulator[int], photo_count: int) -> Iterator[None]:
    """Log the progress while the block runs: a line at most every ten seconds, if a task has ended since the last."""
    ended = threading.Event()
    # A daemon thread does not keep the driver alive if the stage fails hard.
    watcher = threading.Thread(target=_watch, args=(photos_done, photo_count, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def progress_line(done: int, photo_count: int, seconds: float) -> str:
    """Return a line on the stage's progress: `1,024 of 8,000 photos, 105 photos/s, 1 min 6 s left`."""
    rate = done / seconds
    left = max(0, round((photo_count - done) / rate))
    minutes = f"{left // 60} min " if left >= 60 else ""
    return f"{done:,} of {photo_count:,} photos, {rate:.0f} photos/s, {minutes}{left % 60} s left"


def _watch(photos_done: Accumulator[int], photo_count: int, ended: threading.Event) -> None:
    started = last_line = time.monotonic()
    told = 0
    while not ended.wait(SECONDS_BETWEEN_LOOKS):
        now, done = time.monotonic(), photos_done.value
        # The accumulator grows only when a task ends, so without news there is no line.
        if done > told and (now - last_line >= SECONDS_BETWEEN_LINES or not told):
            log.info(progress_line(done, photo_count, now - started))
            told, last_line = done, now
