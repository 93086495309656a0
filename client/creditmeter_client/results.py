"""What the meter answers, as plain values. Amounts are whole credits, times ms since the epoch (UTC)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from creditmeter_client.errors import FieldMistake


class DeliveryStatus(str, Enum):
    """What became of one command that was sent."""

    STORED = "stored"
    """It is in the log, on every replica that the broker asks for."""
    INVALID = "invalid"
    """It will never be accepted as it is."""
    UNKNOWN = "unknown"
    """It may have been stored; sending it again is safe, since its id is known."""


@dataclass(frozen=True)
class Delivery:
    """The answer to one command. `receipt`: where it is in the log, as SERVER 2.2 gives it; None where not stored."""

    status: DeliveryStatus
    receipt: str | None = None
    mistakes: tuple[FieldMistake, ...] = ()


class DecisionStatus(str, Enum):
    DECIDED = "decided"
    """The lines say what the event cost."""
    SET_ASIDE = "set_aside"
    """The log did not accept it (too late, in the future, invalid): it costs nothing."""
    INVALID = "invalid"
    """The meter refused it before it reached the log: it costs nothing."""
    PENDING = "pending"
    """Not decided in time, or the meter is away. The event is stored or will be sent again."""


@dataclass(frozen=True)
class Line:
    """What one charge of the price book came to for one event (a BilledEvent of docs/schemas.md)."""

    decision: str
    charge: str | None = None
    credit_type: str | None = None
    units: int = 0
    credits: int = 0
    balance_after: int | None = None
    owner_event_id: str | None = None


@dataclass(frozen=True)
class Decision:
    """What one event cost. `reason` of one set aside; `repeated` where an event with this id was there before."""

    event_id: str
    status: DecisionStatus
    lines: tuple[Line, ...] = ()
    receipt: str | None = None
    reason: str | None = None
    repeated: bool = False
    mistakes: tuple[FieldMistake, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.status is not DecisionStatus.PENDING

    @property
    def credits(self) -> int | None:
        """Credits charged, over all credit types; None while pending."""
        return sum(line.credits for line in self.lines) if self.is_final else None

    @property
    def insufficient(self) -> bool:
        """Whether the event was not charged because the balance did not suffice."""
        return any(line.decision == "insufficient_credits" for line in self.lines)


class HoldStatus(str, Enum):
    HELD = "held"
    REJECTED = "rejected"
    NOT_NEEDED = "not_needed"
    """The event to come costs nothing at present: nothing was held, and the work may begin."""
    PENDING = "pending"
    """Not decided in time: the meter releases it when it is decided later."""


@dataclass(frozen=True)
class Hold:
    """Credits set aside for work to come. `required` and `available` by credit type, where it was rejected."""

    hold_id: str
    account_id: str
    status: HoldStatus
    credits: Mapping[str, int] = field(default_factory=dict)
    required: Mapping[str, int] = field(default_factory=dict)
    available: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """What events to come would cost, one after another, from the account's present state. Nothing is stored.

    `credits` by credit type, of those that would be charged. `suffices`: whether the balance is enough for all;
    `refused_events`: how many would not be charged because it isn't. `document`: all that the meter says (docs/api.md).
    """

    account_id: str
    credits: Mapping[str, int]
    suffices: bool
    refused_events: int
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A command that will not reach the log, and why. `mistakes` where the meter named fields."""

    command_id: str
    account_id: str
    fields: Mapping[str, Any]
    reason: str
    mistakes: tuple[FieldMistake, ...] = ()


@dataclass(frozen=True)
class Counts:
    """How many commands this process (a child after a fork counts anew) has recorded, and what became of them."""

    recorded: int = 0
    delivered: int = 0
    refused: int = 0
    """The meter will never accept them; each went to `on_refused`."""
    lost: int = 0
    """No room or too old; each went to `on_lost`."""
    spooled: int = 0
    """Written to the spool, delivered later or not."""
    taken_over: int = 0
    """Read from the spool of a process that is gone."""
    torn: int = 0
    """Spool lines that were cut or damaged, by a crash in the middle of a write."""
    not_durable: int = 0
    """Should have been on the disk before `record` returned, and are in memory only: the spool had no room."""
    undescribed: int = 0
    """Calls that were not recorded, because the application's describing function raised."""
    let_in_unasked: int = 0
    """Requests that a middleware let through because the meter was away (open by route)."""
    turned_away: int = 0
    """Requests that a middleware refused because the meter was away (closed by route)."""


def first_mistakes(mistakes: Sequence[FieldMistake]) -> str:
    """The mistakes in one sentence, for a log line."""
    return "; ".join(f"{mistake.pointer} {mistake.detail}" for mistake in mistakes[:3]) or "refused"
