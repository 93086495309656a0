"""What can go wrong when the meter is asked. `Meter.record` raises none of these."""

from __future__ import annotations

from dataclasses import dataclass


class MeterError(Exception):
    """Base of all errors of this package."""


class MeterUnavailable(MeterError):
    """The meter did not answer, or answered that it can't now: trying again later is right.

    `retry_after`: seconds that the meter asked to wait; None where it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class FieldMistake:
    """One mistake in what was sent: a JSON pointer to the field, and what is wrong with it."""

    pointer: str
    detail: str


class RequestRefused(MeterError):
    """The meter understood and refused: sending the same again never works. `status` is the HTTP status, else 0."""

    def __init__(self, status: int, detail: str, mistakes: tuple[FieldMistake, ...] = ()) -> None:
        super().__init__(f"{status} {detail}" if status else detail)
        self.status = status
        self.detail = detail
        self.mistakes = mistakes


class NotSupported(MeterError):
    """This transport only sends. Give `Meter` an `HttpTransport` as `questions` to ask as well."""
