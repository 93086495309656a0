"""What a request used, as the application says it, and the commands that are sent for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Union

from creditmeter_client.ids import new_id


class Outcome(str, Enum):
    """How a request ended for its caller. Only `processed` is ever charged (SPEC 1)."""

    PROCESSED = "processed"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    RATE_LIMITED = "rate_limited"
    BLOCKED = "blocked"
    FAILED = "failed"


@dataclass(frozen=True)
class Usage:
    """One use of an endpoint by an account: the fields of a request event that the application knows (SPEC 1).

    `quantities` are whole numbers from 0 to 10^9 (`{"results": 25}`), `attributes` texts of up to 1,024 characters.
    `outcome`: None leaves it to the middleware, which derives it from the response's status; elsewhere it means
    `processed`. `occurred_at`: ms since the epoch, UTC; None is now.
    """

    account_id: str
    endpoint: str
    channel: str = "api"
    outcome: Outcome | None = None
    actor: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    ip: str | None = None
    domain: str | None = None
    plan: str | None = None
    quantities: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    occurred_at: int | None = None


@dataclass(frozen=True)
class Event:
    """A request event as it is sent: one that has its id and its time."""

    event_id: str
    account_id: str
    fields: Mapping[str, Any]
    """Every field that is not empty, `event_id` and `account_id` included."""


@dataclass(frozen=True)
class Refund:
    """A refund request as it is sent: gives back what an event was charged. Needs an operator's key."""

    refund_id: str
    account_id: str
    fields: Mapping[str, Any]
    """Every field that is not empty, both ids included; without `charge` every line of the event is meant."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

Command = Union[Event, Refund]  # noqa: UP007 -- Python 3.10 evaluates it
"""What is sent for a use of the API, or to correct one."""


def event_of(
    usage: Usage,
    *,
    now: int,
    event_id: str | None = None,
    hold_id: str | None = None,
    keeps_hold: bool = False,
    outcome: Outcome = Outcome.PROCESSED,
) -> Event:
    """The event for this usage. `now` (ms since the epoch) and `outcome` are for a usage that doesn't say them."""
    event_id = event_id or new_id()
    fields: dict[str, Any] = {
        "event_id": event_id,
        "account_id": usage.account_id,
        "occurred_at": now if usage.occurred_at is None else usage.occurred_at,
        "endpoint": usage.endpoint,
        "channel": usage.channel,
        "outcome": (usage.outcome or outcome).value,
    }
    for name in ("request_id", "actor", "user_id", "ip", "domain", "plan"):
        value = getattr(usage, name)
        if value is not None and value != "":
            fields[name] = value
    if hold_id is not None:
        fields["hold_id"] = hold_id
        if keeps_hold:
            fields["keeps_hold"] = True
    if usage.quantities:
        fields["quantities"] = dict(usage.quantities)
    if usage.attributes:
        fields["attributes"] = dict(usage.attributes)
    return Event(event_id, usage.account_id, fields)


def refund_of(account_id: str, event_id: str, reason: str, *, now: int, charge: str | None = None) -> Refund:
    """The request to refund all that is left of this event's lines, or of the lines of one charge."""
    refund_id = new_id()
    fields: dict[str, Any] = {
        "refund_id": refund_id,
        "account_id": account_id,
        "event_id": event_id,
        "reason": reason,
        "requested_at": now,
    }
    if charge is not None:
        fields["charge"] = charge
    return Refund(refund_id, account_id, fields)


def id_of(command: Command) -> str:
    """The id that makes the command a repeat when it is sent again."""
    return command.event_id if isinstance(command, Event) else command.refund_id


def to_line(command: Command) -> bytes:
    """The command as one line of JSON, without its line end: how it is counted in memory and kept in the spool.

    Raises TypeError or ValueError for what JSON has no form for; `check` finds that first.
    """
    return _encode(command.fields).encode()


def from_line(line: bytes) -> Command:
    """Inverse of `to_line`. Raises ValueError for anything else."""
    fields = json.loads(line)
    if not isinstance(fields, dict) or not isinstance(fields.get("account_id"), str):
        raise ValueError("not a command")  # noqa: TRY004 -- one kind of error for a damaged line
    for kind, name in ((Refund, "refund_id"), (Event, "event_id")):
        if isinstance(fields.get(name), str):
            return kind(fields[name], fields["account_id"], fields)
    raise ValueError("a command without an id")
