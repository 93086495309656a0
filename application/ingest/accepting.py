"""Storing events of a request: encoded, sent, acknowledged, each with its receipt or what became of it instead."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from application.ingest.receipts import Receipt
from schemas.codec import Codec
from streams.log.event_sender import EventSender, Outgoing, Stored
from streams.log.partitioner import partition_of


class ItemStatus(StrEnum):
    """What became of one item of a request; the set is closed."""

    STORED = "stored"
    INVALID = "invalid"
    NOT_STORED = "not_stored"
    """It is right, and was not stored, since others of its request are wrong."""
    UNKNOWN = "unknown"
    """It may or may not be in the log: send it again, which is safe."""


class Encoded(NamedTuple):
    """A good event, ready to be sent."""

    event_id: str
    account_id: str
    outgoing: Outgoing


class EventIntake:
    """Stores events of one pipeline. `log_id`: the log that they go to."""

    def __init__(self, sender: EventSender, codec: Codec, partitions: int, log_id: str) -> None:
        self._sender = sender
        self._codec = codec
        self.partitions = partitions
        self.log_id = log_id

    @property
    def unacknowledged(self) -> int:
        """Bytes on their way to Kafka."""
        return self._sender.unacknowledged

    def problem(self) -> str | None:
        """Why events cannot be taken now; None: they can."""
        return self._sender.problem()

    def encoded(self, record: dict[str, Any]) -> Encoded:
        """A record that `metering.validation` took, encoded."""
        account_id = record["account_id"]
        partition = partition_of(account_id, self.partitions)
        return Encoded(record["event_id"], account_id, Outgoing(partition, self._codec.encode_event(record)))

    async def store(self, producer: str, events: Sequence[Encoded]) -> list[Stored | None]:
        """Where each is, once all are acknowledged; None: unknown. Raises LogUnavailable: nothing was sent."""
        return await self._sender.store_events(producer, [event.outgoing for event in events])

    async def store_command(self, producer: str, account_id: str, name: str, record: dict[str, Any]) -> Stored | None:
        """One other command, as `store`. `name`: its schema's, such as Hold."""
        partition = partition_of(account_id, self.partitions)
        return await self._sender.store_command(producer, partition, self._codec.encode(name, record))

    def receipt(self, stored: Stored) -> Receipt:
        """The receipt of a stored item."""
        return Receipt.of(self.log_id, stored)


def other_contents(events: Sequence[Encoded | None]) -> dict[int, int]:
    """Which events have an id that stands before with another content: their index -> the first one's."""
    first: dict[tuple[str, str], int] = {}
    others = {}
    for index, event in enumerate(events):
        if event is None:
            continue
        before = first.setdefault((event.account_id, event.event_id), index)
        kept = events[before]
        if kept is not None and kept.outgoing.event != event.outgoing.event:
            others[index] = before
    return others
