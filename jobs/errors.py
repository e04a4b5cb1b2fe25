"""errors: what a person can mend."""

from __future__ import annotations


class InputError(Exception):
    """Bad input or configuration; the message is one sentence with the thing, the value and the way out."""


class NotLandedError(InputError):
    """The stores have not delivered the day whole; they may later."""


class UnchangedDayError(Exception):
    """A day was published as it had been; the message says since which run."""


class FailedCheckError(Exception):
    """A *fail* rule of check_night is broken, nothing is published; the message names each."""


class PublishingLockError(Exception):
    """Another process publishes the same day; a later try may find the lock free. The message names it and its age."""
