"""What the tests of the semantics stand on: small books, whole records from a few words, and a meter to put them into.

A test says only what its rule is about; everything else has a harmless value. Times are milliseconds, and most tests
count from `NOON`, so that two hours either way stay on one day.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import blake2b, sha256
from typing import Any

from metering.cleanup import Sweeper
from metering.machine import apply
from metering.prices import parse_book
from metering.state import State
from metering.store import MemoryStore
from tests.metering.oracle import Oracle

Json = dict[str, Any]
Out = tuple[str, Json]

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
YEAR_BEGIN = 1_767_225_600_000  # 2026-01-01T00:00:00Z
MIDNIGHT = YEAR_BEGIN + 9 * DAY  # 2026-01-10T00:00:00Z
NOON = MIDNIGHT + 12 * HOUR
ME = "acme"


def charge(name: str, credits_: int = 20, **fields: Any) -> Json:
    """One priced item; `unique=(["ip"], "24h")` is short for its mapping."""
    if isinstance(fields.get("unique"), tuple):
        fields["unique"] = dict(zip(("by", "within"), fields["unique"], strict=True))
    return {"charge": name, "credit_type": "credit", "per": "request", "credits": credits_} | fields


def version(name: str, effective_from: int, *charges: Json) -> Json:
    return {"version": name, "effective_from": effective_from, "charges": list(charges)}


def book_of(*versions: Json, price_lock: str = "none", accept_window: str = "35d", future_skew: str = "5m") -> Json:
    limits = {"accept_window": accept_window, "future_skew": future_skew}
    return {"price_lock": price_lock, "limits": limits, "versions": list(versions)}


def book(*charges: Json, **how: Any) -> Json:
    """A book of one version, in force since the year began."""
    return book_of(version("v1", YEAR_BEGIN, *charges), **how)


def request(event_id: str, at: int, **fields: Any) -> Json:
    return {
        "event_id": event_id, "account_id": ME, "occurred_at": at, "endpoint": "/v1/lookup", "channel": "api",
        "outcome": "processed", "request_id": None, "actor": None, "user_id": None, "ip": None, "domain": None,
        "plan": None, "hold_id": None, "keeps_hold": False, "quantities": {}, "attributes": {},
    } | fields  # fmt: skip


def hold(hold_id: str, credits_: int | dict[str, int], at: int, **fields: Any) -> Json:
    """A hold of one hour; an amount alone is of credits."""
    some = credits_ if isinstance(credits_, dict) else {"credit": credits_}
    return {
        "hold_id": hold_id, "account_id": ME, "credits": some, "held_at": at, "expires_at": at + HOUR, "reason": "bulk",
    } | fields  # fmt: skip


def refund(refund_id: str, event_id: str, at: int, **fields: Any) -> Json:
    return {
        "refund_id": refund_id, "account_id": ME, "event_id": event_id, "charge": None, "credits": None,
        "reason": "asked for", "requested_at": at,
    } | fields  # fmt: skip


def grant(grant_id: str, credits_: int, at: int, **fields: Any) -> Json:
    return {
        "grant_id": grant_id, "account_id": ME, "credit_type": "credit", "credits": credits_, "granted_at": at,
        "expires_at": None, "reason": "bought",
    } | fields  # fmt: skip


def account(update_id: str, at: int, **fields: Any) -> Json:
    same = {"update_id": update_id, "account_id": ME, "plan": None, "on_empty": "allow", "alert_below": {}, "at": at}
    return same | fields


TIME_OF = {
    "request": "occurred_at",
    "hold": "held_at",
    "refund": "requested_at",
    "grant": "granted_at",
    "account": "at",
}


def price_book_record(book_mapping: Json, published_at: int) -> Json:
    """The book as the log holds it: its text, named by its hash. JSON is a text of YAML that needs no YAML to read."""
    text = json.dumps(book_mapping)
    return {"book_id": sha256(text.encode()).hexdigest(), "yaml": text, "published_at": published_at}


def new_state(store: MemoryStore | None = None) -> State:
    return State(MemoryStore() if store is None else store, read_book=lambda text: parse_book(json.loads(text)))


class Meter(ABC):
    """One partition's engine, driven by words: what each test of the semantics talks to.

    Every command has a place of its own in the log: offsets rise by one, and an event's index is arbitrary.
    """

    place: tuple[int, int | None] = (-1, None)
    """Offset and index of the last command."""

    def next_place(self, command: str) -> tuple[int, int | None]:
        offset = self.place[0] + 1
        self.place = (offset, offset % 5 if command == "request" else None)
        return self.place

    @abstractmethod
    def publish(self, book_mapping: Json, at: int = YEAR_BEGIN) -> None:
        """Puts a book in force for all that comes after."""

    @abstractmethod
    def decide(self, command: str, record: Json, recorded_at: int) -> list[Out]:
        """The outputs of one command, as (kind, fields)."""

    def apply(self, command: str, record: Json, recorded_at: int | None = None) -> list[Out]:
        """`decide`, recorded when it happened unless the test says otherwise."""
        if recorded_at is None:
            recorded_at = record[TIME_OF[command]]
        return self.decide(command, dict(record), recorded_at)

    def event(self, event_id: str, at: int, *, recorded_at: int | None = None, **fields: Any) -> list[Out]:
        return self.apply("request", request(event_id, at, **fields), recorded_at)

    def lines(self, event_id: str, at: int, **fields: Any) -> list[Json]:
        """The lines of an event that must be accepted."""
        outputs = self.event(event_id, at, **fields)
        lines = [record for kind, record in outputs if kind == "billed"]
        assert lines, outputs
        return lines

    def line(self, event_id: str, at: int, **fields: Any) -> Json:
        """The one line of an event that must make just one."""
        (only,) = self.lines(event_id, at, **fields)
        return only

    def decision(self, event_id: str, at: int, **fields: Any) -> str:
        return str(self.line(event_id, at, **fields)["decision"])

    def decisions(self, event_id: str, at: int, **fields: Any) -> list[str]:
        return [line["decision"] for line in self.lines(event_id, at, **fields)]

    def refund(self, refund_id: str, event_id: str, at: int, **fields: Any) -> list[Json]:
        """The refund outputs, refunded by line or the one rejection."""
        return [r for kind, r in self.apply("refund", refund(refund_id, event_id, at, **fields)) if kind == "refund"]

    def reject_reason(self, refund_id: str, event_id: str, at: int, **fields: Any) -> str:
        (rejection,) = self.refund(refund_id, event_id, at, **fields)
        assert rejection["status"] == "rejected", rejection
        return str(rejection["reject_reason"])

    def grant(self, grant_id: str, credits_: int, at: int, **fields: Any) -> list[Json]:
        """The grant outputs: what expired before it, its own, and its own expiry where it was over on arrival."""
        return [r for kind, r in self.apply("grant", grant(grant_id, credits_, at, **fields)) if kind == "grant"]

    def hold(self, hold_id: str, credits_: int | dict[str, int], at: int, **fields: Any) -> Json:
        """The change of a hold that must be decided, held or rejected: the last of its own, if it is over at once."""
        recorded_at = fields.pop("recorded_at", None)
        outputs = self.apply("hold", hold(hold_id, credits_, at, **fields), recorded_at)
        own = [record for kind, record in outputs if kind == "hold" and record["hold_id"] == hold_id]
        assert own, outputs
        return own[-1]

    def account(self, update_id: str, at: int, **fields: Any) -> list[Out]:
        return self.apply("account", account(update_id, at, **fields))


NewMeter = Callable[[Json | None], Meter]  # the fixture `meter`: a new one with a book in force, or with none


class MachineMeter(Meter):
    """The machine of the package."""

    def __init__(self, book_mapping: Json | None = None) -> None:
        self.state = new_state()
        if book_mapping is not None:
            self.publish(book_mapping)

    def publish(self, book_mapping: Json, at: int = YEAR_BEGIN) -> None:
        outputs = self.decide("price_book", price_book_record(book_mapping, at), at)
        assert [kind for kind, _ in outputs] in ([], ["repeated"]), outputs

    def decide(self, command: str, record: Json, recorded_at: int) -> list[Out]:
        offset, index = self.next_place(command)
        digest = blake2b(json.dumps(record, sort_keys=True, default=repr).encode(), digest_size=8).digest()
        outputs = apply(self.state, command, record, recorded_at, offset, index, digest)
        return [(str(kind), dict(fields)) for kind, fields in outputs]


class StoredMeter(MachineMeter):
    """The machine over a store that can be written and opened again, as a worker that restarts does."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.open()

    def open(self) -> None:
        self.state = new_state(self.store)
        self.sweeper = Sweeper(self.state)

    def commit(self) -> None:
        self.store.write(self.state.changes())
        self.state.commit()


class OracleMeter(Meter):
    """The naive model, held to the same hand-computed cases before the machine is compared with it."""

    def __init__(self, book_mapping: Json | None = None) -> None:
        self.oracle = Oracle()
        if book_mapping is not None:
            self.publish(book_mapping)

    def publish(self, book_mapping: Json, at: int = YEAR_BEGIN) -> None:
        self.next_place("price_book")
        self.oracle.set_book(book_mapping)

    def decide(self, command: str, record: Json, recorded_at: int) -> list[Out]:
        return self.oracle.apply(command, record, recorded_at, *self.next_place(command))


def refusal(outputs: list[Out]) -> str:
    """Why a command is not accepted: `repeated`, or the dead letter's reason; with `: field` where a field is wrong."""
    ((kind, record),) = outputs
    if kind == "repeated":
        return "repeated"
    assert kind == "dead_letter", outputs
    return f"{record['reason']}: {record['field']}" if record["reason"] == "invalid_event" else str(record["reason"])


def short(outputs: list[Out]) -> list[tuple[Any, ...]]:
    """Outputs as a table of their kind, what became of them, credits and balance: for tests of order and of money."""
    rows: list[tuple[Any, ...]] = []
    for kind, record in outputs:
        became = record.get("decision") or record.get("status") or record.get("kind")
        about = record.get("charge") or record.get("grant_id") or record.get("credit_type")
        rows.append(
            (kind, str(became), about, record.get("credits"), record.get("balance_after", record.get("balance")))
        )
    return rows
