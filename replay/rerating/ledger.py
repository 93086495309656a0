"""The events in the range of a re-rating: each line as it was charged and as it would be charged.

Kept in a scratch store, so that a range of any size is re-rated in bounded memory. Lines lie by account, then time:
what is corrected by day comes together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from metering.records import Record
from metering.store import Store, account_prefix
from replay.rerating.ids import Adjustment

_EVENT, _PLACE, _GIVEN = b"l", b"p", b"g"
_AFTER_ALL = b"\xff" * 32
_KEY_LENGTH = 16


@dataclass(slots=True)
class LedgerLine:
    """One charge for one event in the books of the log (`was`) and under the new prices (`would`). Credits.

    `returned` is what refunds have given back on either side; `corrections` counts refunds by re-ratings, also those
    that came out rejected.
    """

    charge: str
    credit_type: str
    was: int = 0
    returned: int = 0
    would: int = 0
    would_returned: int = 0
    corrections: int = 0

    @property
    def over(self) -> int:
        """Charged too much; below 0: too little."""
        return (self.was - self.returned) - (self.would - self.would_returned)


@dataclass(slots=True)
class LedgerEvent:
    """An event in the range that costs something on either side."""

    event_id: str
    occurred_at: int
    lines: list[LedgerLine]


class Given(NamedTuple):
    """An adjustment grant that the log holds: of which charge (`charge_key`), for events from start to before end."""

    charge_key: str
    credit_type: str
    start: int
    end: int
    credits: int


class Ledger:
    """The lines of one partition, over a `Store` of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: dict[bytes, Any] = {}

    def put(self, account_id: str, event: LedgerEvent, place: tuple[int, int]) -> None:
        """A new event, from a place of the log: (offset, index)."""
        prefix = account_prefix(account_id)
        offset, index = place
        tail = event.occurred_at.to_bytes(8, "big") + offset.to_bytes(8, "big") + index.to_bytes(4, "big")
        self._changes[_PLACE + prefix + event.event_id.encode()] = tail
        self._changes[_EVENT + prefix + tail] = _packed(event)

    def find(self, account_id: str, event_id: str) -> LedgerEvent | None:
        """The event in the range that has this id now; None where there is none."""
        prefix = account_prefix(account_id)
        tail = self._get(_PLACE + prefix + event_id.encode())
        if tail is None:
            return None
        return _event(tail, self._get(_EVENT + prefix + tail))

    def pass_on_id(self, account_id: str, event_id: str) -> None:
        """The id belongs to an event from now on that is none of ours: an id is forgotten and used again."""
        key = _PLACE + account_prefix(account_id) + event_id.encode()
        if self._get(key) is not None:
            self._changes[key] = None

    def note_refunds(self, account_id: str, event_id: str, refunds: Sequence[Record], *, shadow: bool) -> None:
        """What a refund of an event gave back, by line, on one side."""
        event = self.find(account_id, event_id) if refunds else None
        if event is None:
            return
        given = {(record["charge"], record["credit_type"]): record["credits"] for record in refunds}
        for line in event.lines:
            if shadow:
                line.would_returned += given.get((line.charge, line.credit_type), 0)
            else:
                line.returned += given.get((line.charge, line.credit_type), 0)
        self._put_again(account_id, event)

    def note_correction(self, account_id: str, event_id: str, charge: str | None) -> None:
        """A refund by a re-rating stands in the log, whatever came of it: its id is used."""
        event = self.find(account_id, event_id)
        if event is None:
            return
        for line in event.lines:
            line.corrections += line.charge == charge
        self._put_again(account_id, event)

    def note_given(self, account_id: str, adjustment: Adjustment, credit_type: str, credits_: int) -> None:
        """An adjustment grant stands in the log."""
        day = adjustment.day.to_bytes(8, "big")
        key = _GIVEN + account_prefix(account_id) + day + adjustment.charge_key.encode() + credit_type.encode()
        self._changes[key] = [*(self._get(key) or ()), [adjustment.start, adjustment.end, credits_]]

    def given(self, account_id: str) -> Iterator[Given]:
        """Every adjustment grant of an account. After `commit`."""
        prefix = _GIVEN + account_prefix(account_id)
        for key, rows in self._store.scan(prefix):
            tail = key[len(prefix) + 8 :]
            for row in rows:
                yield Given(tail[:_KEY_LENGTH].decode(), tail[_KEY_LENGTH:].decode(), *row)

    def commit(self) -> None:
        """Writes what was noted."""
        self._store.write(self._changes)
        self._changes = {}

    def accounts(self) -> Iterator[str]:
        """Every account with a line. After `commit`."""
        after = b""
        while (row := next(iter(self._store.scan(_EVENT, after)), None)) is not None:
            end = 3 + int.from_bytes(row[0][1:3], "big")
            yield row[0][3:end].decode()
            after = row[0][:end] + _AFTER_ALL

    def events(self, account_id: str) -> Iterator[LedgerEvent]:
        """The account's events by time. After `commit`."""
        prefix = _EVENT + account_prefix(account_id)
        for key, value in self._store.scan(prefix):
            yield _event(key[len(prefix) :], value)

    def _put_again(self, account_id: str, event: LedgerEvent) -> None:
        prefix = account_prefix(account_id)
        tail = self._get(_PLACE + prefix + event.event_id.encode())
        self._changes[_EVENT + prefix + tail] = _packed(event)

    def _get(self, key: bytes) -> Any:
        return self._changes[key] if key in self._changes else self._store.get(key)


def _event(tail: bytes, value: Any) -> LedgerEvent:
    event_id, lines = value
    return LedgerEvent(event_id, int.from_bytes(tail[:8], "big"), [LedgerLine(*line) for line in lines])


def _packed(event: LedgerEvent) -> list[Any]:
    lines = [
        [line.charge, line.credit_type, line.was, line.returned, line.would, line.would_returned, line.corrections]
        for line in event.lines
    ]
    return [event.event_id, lines]
