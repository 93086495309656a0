"""Errors of messages. "This will never work" and "slow down, try again" are different types."""

from __future__ import annotations

EMPTY = "empty message"
FOREIGN = "not an Avro message of creditmeter"
UNKNOWN_FINGERPRINT = "unknown schema fingerprint"
UNKNOWN_ID = "unknown schema registry id"
NO_REGISTRY = "schema registry message, but no registry is configured"
UNRESOLVABLE = "schema cannot be resolved to that of creditmeter"
DAMAGED = "truncated or damaged body"
NOT_A_COMMAND = "not a command record"
NOT_A_BATCH = "not an output batch"
TOO_MANY_EVENTS = "more than 50000 events in one batch"


class Undecodable(Exception):
    """These bytes will never be a record. ``detail`` is one of the fixed texts of this module.

    A dead letter carries the detail, and a replay must make the same dead letter, so it never holds the text of a
    library's exception.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unencodable(ValueError):
    """This record does not fit its schema; the message names the field. A mistake of the calling program."""


class IncompatibleSchemas(ValueError):
    """A reader of one schema cannot read what a writer of the other wrote; the message names the field."""


class RegistryUnavailable(Exception):
    """The schema registry cannot be asked now. Nothing is known about the message: wait and try again."""


class UnknownSchemaId(LookupError):
    """The schema registry answered that it has no schema of this id."""
