"""errors: errors that a person can fix, each told in one line; exit codes, and how a process ends with one."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import NoReturn

NOT_LANDED_YET, UNCHANGED = 75, 99
"""Exit codes of a step that Airflow knows: the day has not landed yet; the day was published without a change. The DAGs
name the same numbers.
"""
OUTPUT_LOST = 120
"""Python's own exit code for output that could not be written to its end."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Characters that end a line, control a terminal or change the direction of writing."""


def one_line(text: str) -> str:
    """Return text with such characters written as escapes, so that no key or field can forge a line of a log."""
    # unicode_escape keeps the character readable, as \x1b, instead of deleting evidence.
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def first_line(error: Exception, longest: int = 300) -> str:
    """Return the first line of an error's message, at most `longest` characters; without a message, the type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:longest]


class InputError(Exception):
    """Bad input or configuration; the message is one sentence: what is wrong, its value, and how to fix it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class NotLandedError(InputError):
    """The stores have not delivered the whole day yet; they may do so later."""


class StoreError(InputError):
    """The object store failed a request, or an object changed meanwhile; a retry may succeed."""


class ReplacedError(StoreError):
    """An object is no longer the one that was listed or opened."""


class UnusableKeyError(InputError):
    """The store's client refuses an object's key, such as one with a line break in it."""


class UnchangedDayError(Exception):
    """A day was published without a change; the message names the run before."""


class FailedCheckError(Exception):
    """A *fail* rule of check_night is broken and nothing is published; the message names each broken rule."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class PublishingLockError(Exception):
    """Another process publishes the same day; the message names it and how long it was silent. A retry may succeed."""


def end_process(exit_code: int) -> NoReturn:
    """Flush output and logs, and end without tearing Python down; nothing may be left to do.

    While Python is torn down, a thread of Arrow that still holds a Python object aborts the process about once in a
    hundred times (apache/arrow#34314). Airflow would then take a published day for a failed task.
    """
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # The reader of a pipe may be gone; a failure that came first keeps its own exit code.
        exit_code = exit_code or OUTPUT_LOST
    os._exit(exit_code)
