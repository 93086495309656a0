"""Errors of use cases: plain exceptions, each with a code for programs.

Fronts translate them once: `cli/terminal/exits.py` into exit codes and words, a server into statuses and problem types.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a use case ended early; the set is closed."""

    INVALID = "invalid"  # what was given or configured is wrong; sending it again does not help
    FAILED = "failed"  # it was asked for rightly and could not be done
    UNAVAILABLE = "unavailable"  # Kafka, ClickHouse or the registry does not answer; trying again later is right
    UNDECIDED = "undecided"  # it is in the log, and no worker has decided it in time
    NOT_FOUND = "not_found"  # there is no such account, event, dead letter or checkpoint
    CONFLICT = "conflict"  # it contradicts what is in force
    MISMATCH = "mismatch"  # the bill and the log disagree
    UNAUTHENTICATED = "unauthenticated"  # there is no such key, link or session, or it has ended
    FORBIDDEN = "forbidden"  # the key is known, and this is not for it


class UseCaseError(Exception):
    """The base of all of them. `message` may have several lines; the first is a heading."""

    code = ErrorCode.FAILED

    def __init__(self, message: str, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class Failed(UseCaseError):
    """The work was asked for rightly and could not be done."""


class Misconfigured(UseCaseError):
    """What was given or configured is wrong. `mistakes` has every one of them; the message shows one a line."""

    code = ErrorCode.INVALID

    def __init__(self, heading: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__("\n".join([heading, *(f"  {mistake}" for mistake in mistakes)]))
        self.heading = heading
        self.mistakes = tuple(mistakes)
