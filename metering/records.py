"""The closed sets and record shapes that every layer speaks: commands in, outputs out.

A *command* changes an account: a request event, a hold, a refund request, a grant, an account update, a price book.
An *output* is what a command causes: billed lines, refunds, changes of grants, holds and settings, alerts, dead
letters, repeats.
Records are plain dictionaries with the field names of the Avro schemas; times are ms since the epoch (UTC), amounts
are integer credits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, TypedDict, final

MAX_LONG: Final = 2**63 - 1
YEAR_2000: Final = 946_684_800_000
"""Earliest time a command may carry (ms): anything earlier is seconds sent by mistake."""
LAST_INSTANT: Final = 253_402_300_799_999
"""Latest time a command may carry, the last ms of the year 9999: anything later is microseconds, or "never"."""
MAX_ID: Final = 128
"""Longest id, in characters."""
MAX_GRANT: Final = 10**12
"""Largest grant, and most that a hold sets aside of one credit type, in credits."""
MAX_HOLD_TYPES: Final = 8
"""Most credit types of one hold."""
MAX_HOLD_MS: Final = 30 * 86_400_000
"""Longest that a hold lasts: from held_at to expires_at, in ms."""
REFUND_GRANT_PREFIX: Final = "refund:"
"""Grant ids that begin so are reserved for grants made by refunds."""


class Command(StrEnum):
    """The commands that the input log carries, by the word used for them everywhere."""

    REQUEST = "request"
    HOLD = "hold"
    REFUND = "refund"
    GRANT = "grant"
    ACCOUNT = "account"
    PRICE_BOOK = "price_book"


class Outcome(StrEnum):
    """How the request itself ended; only ``processed`` requests can cost anything."""

    PROCESSED = "processed"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    RATE_LIMITED = "rate_limited"
    BLOCKED = "blocked"
    FAILED = "failed"


class Decision(StrEnum):
    """What became of one charge for one event."""

    CHARGED = "charged"
    DUPLICATE = "duplicate"
    FREE = "free"
    NOTHING_FOUND = "nothing_found"
    MISSING_SUBJECT = "missing_subject"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    NOT_BILLABLE = "not_billable"
    UNPRICED = "unpriced"


class DeadLetterReason(StrEnum):
    """Why a command was set aside instead of applied."""

    UNDECODABLE = "undecodable"
    INVALID_EVENT = "invalid_event"
    IN_FUTURE = "in_future"
    TOO_LATE = "too_late"
    WRONG_PARTITION = "wrong_partition"


class RejectReason(StrEnum):
    """Why a refund was not made."""

    UNKNOWN_CHARGE = "unknown_charge"
    NOTHING_CHARGED = "nothing_charged"
    CHARGE_REQUIRED = "charge_required"
    EXCEEDS_CHARGE = "exceeds_charge"


class RefundStatus(StrEnum):
    REFUNDED = "refunded"
    REJECTED = "rejected"


class GrantStatus(StrEnum):
    APPLIED = "applied"
    EXPIRED = "expired"


class HoldStatus(StrEnum):
    """What happened to a hold: open after ``held`` and ``drawn``, over after the others."""

    HELD = "held"
    REJECTED = "rejected"
    DRAWN = "drawn"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


class HoldRejectReason(StrEnum):
    """Why a hold sets nothing aside."""

    INSUFFICIENT_CREDITS = "insufficient_credits"


class AlertKind(StrEnum):
    BELOW = "below"
    EMPTY = "empty"


class OnEmpty(StrEnum):
    """What happens to an event that costs more than the account has."""

    ALLOW = "allow"
    REJECT = "reject"


class Kind(StrEnum):
    """The kinds of output; each but ``repeated`` has a topic, and repeats are listed in billed batches."""

    BILLED = "billed"
    REFUND = "refund"
    GRANT = "grant"
    ALERT = "alert"
    ACCOUNT = "account"
    HOLD = "hold"
    DEAD_LETTER = "dead_letter"
    REPEATED = "repeated"


Record = dict[str, Any]


@final
class Output:  # noqa: PLW1641 -- it has no hash: its record may change
    """One thing that a command caused. ``record`` has the fields of the kind's Avro record.

    A dead letter's record holds what the machine knows: reason, field, detail, command, account_id, id. A repeat's:
    command, account_id, id, index, same_content, first_offset, first_index. ``kind, record = output`` takes it apart.
    """

    __slots__ = ("kind", "record")

    def __init__(self, kind: Kind, record: Record) -> None:
        self.kind = kind
        self.record = record

    def __iter__(self) -> Iterator[Any]:
        return iter((self.kind, self.record))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Output) and self.kind == other.kind and self.record == other.record

    def __repr__(self) -> str:
        return f"Output({self.kind!r}, {self.record!r})"


class GrantUse(TypedDict):
    """Credits that one line took from one grant."""

    grant_id: str
    credits: int


class BilledEvent(TypedDict):
    """One line: the outcome of one charge for one event."""

    event_id: str
    line: int
    account_id: str
    occurred_at: int
    endpoint: str
    channel: str
    outcome: str
    request_id: str | None
    actor: str | None
    user_id: str | None
    ip: str | None
    domain: str | None
    plan: str | None
    quantities: dict[str, int]
    attributes: dict[str, str]
    decision: str
    charge: str | None
    feature: str | None
    action: str | None
    credit_type: str | None
    price_version: str | None
    units: int
    unit_credits: int
    credits: int
    owner_event_id: str | None
    window_ends_at: int | None
    balance_after: int | None
    grants_used: list[GrantUse]
    hold_id: str | None


def blank_line() -> Record:
    """A `BilledEvent` with every field None, in the order of its schema."""
    return dict.fromkeys(BilledEvent.__annotations__)


DEAD_LETTER_DETAIL: dict[DeadLetterReason, str] = {
    DeadLetterReason.UNDECODABLE: "the message is not a command of creditmeter",
    DeadLetterReason.INVALID_EVENT: "a field is missing, unknown, empty, of a wrong type, or out of range",
    DeadLetterReason.IN_FUTURE: "the command's time is further ahead of the log's clock than future_skew allows",
    DeadLetterReason.TOO_LATE: "the event is older than accept_window before the account's stream time",
    DeadLetterReason.WRONG_PARTITION: "the account belongs to another partition of the input log",
}
"""The fixed text of a dead letter's ``detail``: the same for the same input on every machine."""


def dead_letter(reason: DeadLetterReason, field: str | None, command: Command | None, record: Record) -> Output:
    """The output for a command that was set aside; ids are carried only where they are strings."""
    account_id = record.get("account_id")
    own_id = record.get(ID_FIELD[command]) if command else None
    return Output(
        Kind.DEAD_LETTER,
        {
            "reason": reason,
            "field": field,
            "detail": DEAD_LETTER_DETAIL[reason],
            "command": command,
            "account_id": _id_or_none(account_id),
            "id": _id_or_none(own_id),
        },
    )


def _id_or_none(value: Any) -> str | None:
    """An id as a dead letter may carry it: none that is too long, or the letter would be larger than its message."""
    return value if isinstance(value, str) and len(value) <= MAX_ID else None


def repeated(
    command: Command,
    account_id: str | None,
    own_id: str,
    index: int | None = None,
    digest: bytes | None = None,
    first: Sequence[Any] = (),
) -> Output:
    """The output for a command that the account has accepted before: counted, nothing else.

    ``first`` is [offset, index, digest] of the one that was accepted, empty where they were not kept; ``index`` and
    ``digest`` are those of this one. The contents are the same where the digests are; None: one of them is not known.
    """
    first_offset, first_index, first_digest = first or (None, None, None)
    is_known = digest is not None and first_digest is not None
    record: Record = {
        "command": command,
        "account_id": account_id,
        "id": own_id,
        "index": index,
        "same_content": digest == first_digest if is_known else None,
        "first_offset": first_offset,
        "first_index": first_index,
    }
    return Output(Kind.REPEATED, record)


ID_FIELD: dict[Command, str] = {
    Command.REQUEST: "event_id",
    Command.HOLD: "hold_id",
    Command.REFUND: "refund_id",
    Command.GRANT: "grant_id",
    Command.ACCOUNT: "update_id",
    Command.PRICE_BOOK: "book_id",
}
"""The field that names a command of each type."""

TIME_FIELD: dict[Command, str] = {
    Command.REQUEST: "occurred_at",
    Command.HOLD: "held_at",
    Command.REFUND: "requested_at",
    Command.GRANT: "granted_at",
    Command.ACCOUNT: "at",
    Command.PRICE_BOOK: "published_at",
}
"""The field with the command's own time (ms UTC)."""
