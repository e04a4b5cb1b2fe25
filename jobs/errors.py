"""errors: what a person can fix, each told in one line, exit codes, and how a process ends with one."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import NoReturn

NOT_LANDED_YET, UNCHANGED = 75, 99
"""Exit codes of a step by which Airflow knows a day that has not landed yet, and one published as it had been."""
OUTPUT_LOST = 120
"""Python's own exit code where the last of what was printed could not be written."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Characters that end a line, steer a terminal or turn the direction of writing."""


def one_line(text: str) -> str:
    """Return text in which such characters are spelt out, so that no key or field can forge a line of a log."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def first_line(error: Exception, longest: int = 300) -> str:
    """Return the first line of an error's message, at most `longest` characters of it; without one its type's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:longest]


class InputError(Exception):
    """Bad input or configuration; the message is one sentence with the thing, the value and the way out."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class NotLandedError(InputError):
    """The stores have not delivered the day whole; they may later."""


class StoreError(InputError):
    """The object store failed what was asked of it, or an object changed meanwhile; another try may do."""


class ReplacedError(StoreError):
    """An object is not the one that was listed, or opened, any more."""


class UnusableKeyError(InputError):
    """An object's key that the store's client refuses, such as one with a line break in it."""


class UnchangedDayError(Exception):
    """A day was published as it had been; the message says since which run."""


class FailedCheckError(Exception):
    """A *fail* rule of check_night is broken, nothing is published; the message names each."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class PublishingLockError(Exception):
    """Another process publishes the same day; a later try may find the lock free. The message names it and its age."""


def end_process(exit_code: int) -> NoReturn:
    """Write out what is printed and logged, and end without tearing Python down; nothing may be left to do.

    While Python is torn down, a thread of Arrow that still holds one of Python's objects aborts the process about once
    in a hundred times (apache/arrow#34314), and Airflow takes a day that is published for a task that failed.
    """
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        exit_code = exit_code or OUTPUT_LOST
    os._exit(exit_code)
