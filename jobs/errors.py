"""errors: the project's exceptions, each with a message of one line; exit codes, and how a process ends with one."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import NoReturn

NOT_LANDED_YET, UNCHANGED = 75, 99
"""Exit codes of a step that the DAGs know too: 75 if the stores have not delivered the day yet, 99 if the day was
published again without a change.
"""
OUTPUT_LOST = 120
"""Python's own exit code for output that could not be written to its end."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Unsafe characters: they end a line, control a terminal or change the direction of writing."""


def one_line(text: str) -> str:
    """Return text with line breaks and control characters escaped, so that no key or field can forge a log line."""
    # unicode_escape keeps the character readable, as \x1b, instead of deleting evidence.
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def first_line(error: Exception, longest: int = 300) -> str:
    """Return the first line of an error's message, cut to `longest` characters, or its type's name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:longest]


class InputError(Exception):
    """Bad input or configuration. The message is one sentence: what is wrong, the value, and how to fix it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class NotLandedError(InputError):
    """The stores have not delivered the whole day yet; they may do so later."""


class StoreError(InputError):
    """The object store failed a request, or an object changed during a read; a retry may succeed."""


class ReplacedError(StoreError):
    """Another object has replaced the one that was listed or opened."""


class UnusableKeyError(InputError):
    """The store's client refuses an object's key, such as one with a line break in it."""


class UnchangedDayError(Exception):
    """A day was published again and no table changed; the message names the run that published it before."""


class FailedCheckError(Exception):
    """A night or a window breaks a *fail* rule, so nothing is published; the message names each broken rule."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class FailedDaysError(Exception):
    """Some days of a backfill were not published; the message names each with its reason."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class PublishingLockError(Exception):
    """Another process is publishing the same day; a retry may succeed. The message names that process."""


def end_process(exit_code: int) -> NoReturn:
    """Flush output and logs, and end the process without Python's own clean-up, so no exit handler runs.

    During that clean-up, a thread of Arrow that still holds a Python object aborts the process about once in a
    hundred times (apache/arrow#34314). Airflow would then see a failed task although the day is published.
    """
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # The reader of a pipe may be gone; a failure that came first keeps its own exit code.
        exit_code = exit_code or OUTPUT_LOST
    os._exit(exit_code)
