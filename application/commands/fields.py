"""Refuses commands with a wrong field, in the words of `metering.mistakes`, which every front shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.errors import ErrorCode, UseCaseError
from metering.mistakes import CHECKS, allowed_values, first_mistake, mistake
from metering.records import Command

__all__ = ["CHECKS", "BadField", "allowed_values", "first_mistake", "mistake", "raise_on_bad_field"]


class BadField(UseCaseError):
    """A field of a command that is to be sent is wrong: nothing was sent. `field` is its name."""

    code = ErrorCode.INVALID

    def __init__(self, command: Command, record: Mapping[str, Any], field: str) -> None:
        super().__init__(mistake(command, record, field))
        self.command = command
        self.field = field


def raise_on_bad_field(command: Command, record: Mapping[str, Any]) -> None:
    """Raises BadField with the first field of the record that is wrong; the record stays as it is."""
    field = CHECKS[command](dict(record))
    if field is not None:
        raise BadField(command, record, field)
